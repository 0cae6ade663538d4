"""The randomisation check: exact restoration, the right layers, methods that fail or pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from chains import conv_net, maps, scramble
from torch import nn

from bids_xai.attribution import METHODS, explain
from bids_xai.attribution.randomization import randomised, stages, weighted_layers
from bids_xai.attribution.randomization_verdict import LIMIT, verdict
from bids_xai.core.perturbation import CubePlan, Perturbation, aopc
from bids_xai.core.similarity import compare
from bids_xai.errors import UsageError
from bids_xai.models import build


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(
        a[k].dtype == b[k].dtype and a[k].numpy().tobytes() == b[k].numpy().tobytes() for k in a
    )


@pytest.fixture
def nets() -> tuple[nn.Module, nn.Module]:
    return conv_net(), conv_net(seed=5)


def test_layers_go_from_the_output_down_batch_norm_with_its_convolution(nets) -> None:
    layers = weighted_layers(nets[0])
    assert [layer.name for layer in layers] == ["11 Linear", "8 Linear", "4 Conv3d", "0 Conv3d"]
    assert [layer.positions for layer in layers] == [(11,), (8,), (4, 5), (0, 1)]
    assert [len(taken) for _, taken in stages(nets[0], "cascading")] == [1, 2, 3, 4]
    assert [len(taken) for _, taken in stages(nets[0], "independent")] == [1, 1, 1, 1]
    with pytest.raises(UsageError, match="sideways"):
        stages(nets[0], "sideways")
    with pytest.raises(UsageError, match="no known layer with weights"):
        weighted_layers(nn.Sequential(nn.ReLU()))


@pytest.mark.parametrize("mode", ["cascading", "independent"])
def test_only_the_chosen_layers_change_and_all_come_back_bit_for_bit(nets, mode: str) -> None:
    model, untrained = nets
    model[0].weight.data[0, 0, 0, 0, 0] = -0.0  # equal to 0, other bits
    before, other = state(model), state(untrained)
    for _, layers in stages(model, mode):
        positions = {p for layer in layers for p in layer.positions}
        with randomised(model, untrained, layers):
            now = state(model)
            for name in before:
                source = other if int(name.split(".")[0]) in positions else before
                assert same({name: now[name]}, {name: source[name]})
        assert same(state(model), before)
        assert same(state(untrained), other)


def test_weights_come_back_after_an_error(nets) -> None:
    model, untrained = nets
    before = state(model)
    parameters = list(model.parameters())
    with (
        pytest.raises(RuntimeError, match="halfway"),
        randomised(model, untrained, weighted_layers(model)),
    ):
        raise RuntimeError("halfway")
    assert same(state(model), before)
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))


def test_networks_of_another_kind_are_refused(nets) -> None:
    model, before = nets[0], state(nets[0])
    other = conv_net(norm=False)
    with (
        pytest.raises(UsageError, match="layers of the untrained network differ"),
        randomised(model, other, weighted_layers(model)),
    ):
        pass
    wider = scramble(nn.Sequential(*[*list(conv_net())[:-1], nn.Linear(4, 3)]))
    with (
        pytest.raises(UsageError, match="layers of the untrained network differ"),
        randomised(model, wider, weighted_layers(model)),
    ):
        pass
    assert same(state(model), before)


def test_patch_filters_are_one_layer() -> None:
    shape = (53, 53, 53)
    model, untrained = (build("vgg-a-pif", shape, seed=seed) for seed in (0, 1))
    layers = weighted_layers(model)
    (pif,) = [layer for layer in layers if "PIF" in layer.name]
    before = state(model)
    with randomised(model, untrained, [pif]):
        changed = [k for k, t in state(model).items() if not torch.equal(t, before[k])]
        assert changed
        assert len({name.rsplit(".", 1)[0] for name in changed}) >= 1
    assert same(state(model), before)


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """A small network that has learnt to see a bright cube in noise."""
    rng = np.random.default_rng(0)
    x = rng.random((60, 1, 16, 16, 16)).astype(np.float32)
    x[::2, :, 4:9, 4:9, 4:9] += 0.6
    y = torch.tensor([1, 0] * 30)
    model = build("graz", (16, 16, 16), seed=3)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(40):
        for batch in np.array_split(rng.permutation(60), 6):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(torch.from_numpy(x[batch])), y[batch]).backward()
            optimiser.step()
            model.project_biases()
    with torch.no_grad():
        assert (model(torch.from_numpy(x)).argmax(1) == y).float().mean() > 0.95
    return model.eval()


def likeness(model: nn.Module, method) -> tuple[list[float], list[float]]:
    """Of five scans, the likeness of maps before and after all layers became random."""
    untrained = build("graz", (16, 16, 16), seed=77)
    similarities = []
    for seed in range(5):
        scan = np.random.default_rng(100 + seed).random((1, 1, 16, 16, 16)).astype(np.float32)
        scan[:, :, 4:9, 4:9, 4:9] += 0.6
        volume = torch.from_numpy(scan)
        before = method(model, volume)
        _, layers = stages(model, "cascading")[-1]
        with randomised(model, untrained, layers):
            after = method(model, volume)
        similarities.append(compare(before, after))
    return [similarity.ssim for similarity in similarities], [
        similarity.spearman_abs for similarity in similarities
    ]


def test_an_edge_detector_fails_and_saliency_passes(trained) -> None:
    def edges(model: nn.Module, volume: torch.Tensor) -> np.ndarray:
        return np.linalg.norm(np.gradient(volume[0, 0].numpy()), axis=0)

    def saliency(model: nn.Module, volume: torch.Tensor) -> np.ndarray:
        return explain("saliency", model, volume)[0, 0].numpy()

    passed, words = verdict(*likeness(trained, edges))
    assert passed is False
    assert "whatever the network has learnt" in words
    assert f"below {LIMIT:g}" in words
    passed, words = verdict(*likeness(trained, saliency))
    assert passed is True, words
    assert "depends on the network" in words


def test_a_verdict_needs_maps() -> None:
    passed, words = verdict([float("nan")], [float("nan")])
    assert passed is None
    assert "undecided" in words
    assert verdict([0.1, float("nan")], [0.2, 0.3])[0] is True
    assert verdict([0.6], [0.1])[0] is False
    assert verdict([0.1], [0.6])[0] is False


def test_explaining_is_possible_within(nets) -> None:
    model, untrained = nets
    volumes = maps()
    before = explain("lrp-epsilon", model, volumes)
    with randomised(model, untrained, weighted_layers(model)):
        inside = explain("lrp-epsilon", model, volumes)
    assert torch.equal(inside, explain("lrp-epsilon", untrained, volumes))
    assert torch.equal(before, explain("lrp-epsilon", model, volumes))


@pytest.mark.parametrize("method", [name for name in METHODS if name.startswith("lrp-")])
def test_maps_of_a_trained_network_rank_the_cubes(trained, method: str) -> None:
    """Most relevant first lies above random, and random above least relevant first."""

    @torch.no_grad()
    def predict(batch: np.ndarray) -> np.ndarray:
        return trained(torch.from_numpy(batch)[:, None]).softmax(1).double().numpy()

    plan = CubePlan(edge=(4, 4, 4), stride=(4, 4, 4), steps=10)
    areas = []
    for seed in range(6):
        scan = np.random.default_rng(200 + seed).random((16, 16, 16)).astype(np.float32)
        scan[4:9, 4:9, 4:9] += 0.6
        relevance = explain(method, trained, torch.from_numpy(scan)[None, None])[0, 0].numpy()
        run = Perturbation(scan, predict, plan, low=0.0, high=1.0, seed=seed)
        curves = [
            run.by_relevance(relevance, "morf"),
            run.at_random(4),
            run.by_relevance(relevance, "lerf"),
        ]
        areas.append([aopc(curve.mean(axis=0)[:, 1])[-1] for curve in curves])
    most, chance, least = np.mean(areas, axis=0)
    assert most > chance + 0.05
    assert chance > least + 0.05
