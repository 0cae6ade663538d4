"""z+ relevance: conserved, equal to a slow version and to zennit, differentiable."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
from chains import conv_net, maps, patch_net, scramble, six_convolutions
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from zennit.composites import LayerMapComposite
from zennit.rules import AlphaBeta, Pass
from zennit.rules import ZPlus as ZennitZPlus
from zennit.types import Activation, Convolution, Linear

from bids_xai.attribution.chain import build_steps
from bids_xai.attribution.rules import ZPlus
from bids_xai.attribution.zplus import (
    FLOOR,
    NegativeInputError,
    relevance,
    relevance_zplus,
    zplus_chain,
)
from bids_xai.errors import BadDataError, UsageError
from bids_xai.models import build

TINY = (3, 4, 5)


def _tiny(seed: int = 0, bias: float = -0.05) -> nn.Sequential:
    """Two convolutions (the second strided), two dense layers, in float64, mostly alive."""
    net = nn.Sequential(
        nn.Conv3d(1, 2, 3, padding=1),
        nn.ReLU(),
        nn.Conv3d(2, 3, (3, 2, 3), stride=(2, 1, 2), padding=(1, 0, 1)),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(3 * 2 * 3 * 3, 4),
        nn.Dropout(0.5),
        nn.ReLU(),
        nn.Linear(4, 2),
    ).double()
    generator = torch.Generator().manual_seed(seed)
    for layer in net:
        if isinstance(layer, nn.Conv3d | nn.Linear):
            bound = 2 / layer.weight[0].numel() ** 0.5
            nn.init.uniform_(layer.weight, -0.8 * bound, bound, generator)
            nn.init.constant_(layer.bias, bias)
    assert net.eval()(_volumes(TINY).double()).std(dim=0).min() > 0
    return net


def _volumes(shape: tuple[int, int, int], n: int = 2, seed: int = 0) -> Tensor:
    """Volumes in [0, 1] with a background of exact zeros, like a map outside the head."""
    volumes = torch.rand(n, 1, *shape, generator=torch.Generator().manual_seed(seed))
    volumes[:, :, :1] = 0
    volumes[..., -1] = 0
    return volumes


def _slow_dense(x: np.ndarray, w: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    """R_i = sum_j x_i w+_ij / (sum_k x_k w+_kj) R_j, one term at a time."""
    result = np.zeros(len(x))
    for j in range(len(w)):
        contributions = [max(x[i], FLOOR) * max(w[j, i], FLOOR) for i in range(len(x))]
        for i in range(len(x)):
            result[i] += contributions[i] / sum(contributions) * relevance[j]
    return result


def _slow_conv(x: np.ndarray, layer: nn.Conv3d, relevance: np.ndarray) -> np.ndarray:
    """The same, every output unit a dense unit that sees the voxels its kernel covers."""
    weight = layer.weight.detach().numpy()
    result = np.zeros(x.shape)
    for unit in np.ndindex(relevance.shape):
        seen = []
        for tap in np.ndindex(weight.shape[1:]):
            at = [
                unit[1 + a] * layer.stride[a] - layer.padding[a] + tap[1 + a]  # type: ignore[operator]
                for a in range(3)
            ]
            if all(0 <= at[a] < x.shape[1 + a] for a in range(3)):
                seen.append(((tap[0], *at), weight[(unit[0], *tap)]))
        parts = [max(x[where], FLOOR) * max(w, FLOOR) for where, w in seen]
        for (where, _), part in zip(seen, parts, strict=True):
            result[where] += part / sum(parts) * relevance[unit]
    return result


def _slow(net: nn.Sequential, volume: Tensor) -> np.ndarray:
    """Relevance of one volume, by loops in float64."""
    inputs, x = [], volume[None]
    with torch.no_grad():
        for layer in net:
            inputs.append(x[0].numpy())
            x = layer(x)
    relevance = np.exp(x[0].numpy()) / np.exp(x[0].numpy()).sum()
    for layer, seen in zip(reversed(net), reversed(inputs), strict=True):
        if isinstance(layer, nn.Linear):
            relevance = _slow_dense(seen, layer.weight.detach().numpy(), relevance)
        elif isinstance(layer, nn.Conv3d):
            relevance = _slow_conv(seen, layer, relevance)
        else:
            relevance = relevance.reshape(seen.shape)
    return relevance


@pytest.mark.parametrize("bias", [-0.1, 0.0, 0.3])
def test_against_a_slow_independent_version(bias: float) -> None:
    net = _tiny(bias=bias)
    volumes = _volumes(TINY).double()
    logits, relevance = relevance_zplus(net, volumes)
    torch.testing.assert_close(logits, net(volumes))
    for i in range(len(volumes)):
        np.testing.assert_allclose(relevance[i], _slow(net, volumes[i]), rtol=1e-10, atol=1e-16)


@pytest.mark.parametrize("rule", [lambda: AlphaBeta(1, 0, 1e-15, ["bias"]), None])
def test_against_zennit(rule: object) -> None:
    make = rule if callable(rule) else lambda: ZennitZPlus(1e-15, ["bias"])
    model = build("graz", (18, 20, 23), seed=2).double().eval()
    for p in model.parameters():
        if p.dim() == 1:
            nn.init.constant_(p, -0.001)
    volumes = _volumes((18, 20, 23)).double()
    layers = [(Activation, Pass()), (Convolution, make()), (Linear, make())]
    seen = volumes.clone().requires_grad_()
    with LayerMapComposite(layers).context(model) as hooked:
        logits = hooked(seen)
        (expected,) = torch.autograd.grad(logits, seen, logits.softmax(1).detach())
    torch.testing.assert_close(expected.flatten(1).sum(1), torch.ones(2).double())
    _, relevance = relevance_zplus(model, volumes, zero_division="zero")
    torch.testing.assert_close(relevance, expected, rtol=1e-8, atol=1e-15)
    _, relevance = relevance_zplus(model, volumes)
    assert (relevance - expected).abs().max() < 1e-6
    assert (relevance - expected).abs().sum() < 1e-2


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bias", [-0.3, 0.0, 0.3, -1e3])
def test_relevance_is_conserved_in_single_precision(seed: int, bias: float) -> None:
    model = build("graz", (48, 56, 44), seed=seed)
    for p in model.parameters():
        if p.dim() == 1:
            nn.init.constant_(p, bias)
    volumes = _volumes((48, 56, 44), 3)
    volumes[0] = 0
    volumes[1] *= 1e-3
    _, relevance = relevance_zplus(model, volumes)
    assert relevance.shape == volumes.shape
    assert relevance.dtype == torch.float32
    assert (relevance >= 0).all()
    sums = relevance.double().flatten(1).sum(1)
    torch.testing.assert_close(sums, torch.ones(3).double(), atol=1e-3, rtol=0)


def test_starts_sum_to_what_they_say() -> None:
    net, volumes = _tiny(), _volumes(TINY).double()
    p = net(volumes).softmax(1)
    for target in (0, 1):
        for start, expected in (("probability", p), ("logit", net(volumes))):
            _, relevance = relevance_zplus(net, volumes, start=start, target=target)
            torch.testing.assert_close(relevance.flatten(1).sum(1), expected[:, target])
    parts = [relevance_zplus(net, volumes, start="probability", target=k)[1] for k in (0, 1)]
    torch.testing.assert_close(sum(parts), relevance_zplus(net, volumes)[1])


def test_zero_division_by_zero_loses_only_dead_units() -> None:
    net, volumes = _tiny(), _volumes(TINY).double()
    nn.init.constant_(net[-1].weight[0], -0.1)  # no positive weight feeds the first output
    nn.init.constant_(net[-1].weight[1], 0.1)
    logits, lost = relevance_zplus(net, volumes, zero_division="zero")
    torch.testing.assert_close(lost.flatten(1).sum(1), logits.softmax(1)[:, 1])
    _, before = relevance_zplus(net, volumes)
    torch.testing.assert_close(before.flatten(1).sum(1), torch.ones(2).double())
    assert (lost[volumes == 0] == 0).all()


@pytest.mark.parametrize("zero_division", ["clamp", "zero"])
def test_gradients_of_the_guidance_term_by_finite_differences(zero_division: str) -> None:
    volumes = _volumes(TINY).double()
    mask = (_volumes(TINY, seed=9) > 0.4).double()

    class Guidance(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = _tiny(seed=3)

        def forward(self) -> Tensor:
            _, relevance = relevance_zplus(
                self, volumes, create_graph=True, zero_division=zero_division
            )
            return (mask * relevance).sum()

    net = Guidance()
    names, values = zip(*net.named_parameters(), strict=True)

    def guidance(*values: Tensor) -> Tensor:
        term: Tensor = functional_call(net, dict(zip(names, values, strict=True)), ())
        return term

    fast = zero_division == "zero"  # directions at random instead of every weight
    assert torch.autograd.gradcheck(guidance, values, eps=1e-7, atol=1e-6, fast_mode=fast)
    gradients = torch.autograd.grad(guidance(*values), values)
    for name, gradient in zip(names, gradients, strict=True):
        assert not name.endswith("weight") or gradient.abs().sum() > 0


def test_the_rest_of_the_batch_does_not_matter() -> None:
    net, volumes = _tiny(), _volumes(TINY, 4).double()
    _, together = relevance_zplus(net, volumes)
    for i in range(4):
        _, alone = relevance_zplus(net, volumes[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone)


def test_one_dense_layer_by_hand() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False)).double()
    net[1].weight.data = torch.tensor([[1.0, 3.0], [-1.0, 2.0]], dtype=torch.float64)
    volumes = torch.tensor([3.0, 1.0], dtype=torch.float64).reshape(1, 1, 1, 1, 2)
    logits, relevance = relevance_zplus(net, volumes)  # logits 6 and -1
    p = logits.softmax(1)[0]
    expected = torch.stack([p[0] * 0.5, p[0] * 0.5 + p[1]])
    torch.testing.assert_close(relevance.flatten(), expected, atol=1e-6, rtol=0)


def test_same_padding_by_name_equals_padding_by_number() -> None:
    net, named = _tiny(), _tiny()
    named[0].padding = "same"
    volumes = _volumes(TINY).double()
    torch.testing.assert_close(relevance_zplus(net, volumes)[1], relevance_zplus(named, volumes)[1])


def test_no_graph_unless_asked_for() -> None:
    net, volumes = _tiny(), _volumes(TINY).double()
    logits, relevance = relevance_zplus(net, volumes)
    assert not logits.requires_grad
    assert not relevance.requires_grad
    with torch.no_grad():
        assert relevance_zplus(net, volumes, create_graph=True)[1].requires_grad


@pytest.mark.parametrize("value", [-1e-6, float("nan")])
def test_negative_and_undefined_input_is_refused(value: float) -> None:
    volumes = _volumes(TINY).double()
    volumes[1, 0, 2, 1, 0] = value
    with pytest.raises(BadDataError, match="z\\+ needs inputs >= 0"):
        relevance_zplus(_tiny(), volumes)
    with pytest.raises(UsageError, match="lrp-alphabeta") as error:
        relevance_zplus(_tiny(), volumes)
    again = pickle.loads(pickle.dumps(error.value))
    assert isinstance(again, NegativeInputError)
    assert again.status == BadDataError.status


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (nn.Sequential(nn.ReLU(), nn.BatchNorm3d(1)), "no rule for .*BatchNorm3d"),
        (nn.Sequential(nn.BatchNorm3d(1), nn.Conv3d(1, 1, 3)), "no rule for .*BatchNorm3d"),
        (nn.Sequential(nn.Conv3d(1, 1, 3), nn.AvgPool3d(2)), "needs a ReLU before AvgPool3d"),
        (nn.Sequential(nn.Conv3d(1, 1, 3), nn.Softmax(1)), "no rule for .*Softmax"),
        (nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5)), "needs a ReLU before"),
        (nn.Sequential(nn.ELU()), "no rule for .*ELU"),
    ],
)
def test_networks_without_a_rule_are_refused(net: nn.Module, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        zplus_chain(net)


@pytest.mark.parametrize(
    "options",
    [
        {"start": "softmax", "target": 1},
        {"start": "logit"},
        {"start": "logit", "target": 2},
        {"start": "top", "target": 1},
        {"zero_division": "ignore"},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        relevance_zplus(_tiny(), _volumes(TINY).double(), **options)  # type: ignore[arg-type]


GRIDS = {
    "graz": (21, 35, 18),
    "gap3": (11, 9, 10),
    "gap": (19, 17, 18),
    "gap6": (64, 66, 65),
    "boehle": (78, 80, 79),
    "rieke": (79, 78, 80),
}
RANDOM = (
    [("graz", seed) for seed in range(8)]
    + [("gap3", seed) for seed in range(6)]
    + [("gap", 0), ("gap", 1), ("gap6", 0), ("boehle", 0), ("boehle", 1), ("rieke", 0)]
)


@pytest.mark.parametrize(("name", "seed"), RANDOM)
def test_relevance_of_random_networks_sums_to_1(name: str, seed: int) -> None:
    """In single precision as in training; random statistics of batch norm, biases of any sign."""
    net = build(name, GRIDS[name], seed=seed)
    scramble(net, seed)
    volumes = maps(GRIDS[name], 1 if max(GRIDS[name]) > 50 else 3, seed).float()
    heatmaps = relevance(net.float(), volumes)
    assert heatmaps.requires_grad
    assert heatmaps.shape == volumes.shape
    assert (heatmaps >= 0).all()
    sums = heatmaps.detach().double().flatten(1).sum(1)
    torch.testing.assert_close(sums, torch.ones_like(sums), atol=1e-4, rtol=0)


def test_batch_norm_only_gives_its_sign() -> None:
    """Relevance ignores biases and takes the scale out again, so statistics do not matter."""
    net, volumes = conv_net(), maps()
    conv, norm = net[0], net[1]
    assert norm.weight.sign().tolist() == [1, -1]
    plain = nn.Conv3d(1, 2, 3, padding=1, bias=False).double()
    plain.weight.data = conv.weight.data * norm.weight.data.sign()[:, None, None, None, None]
    above = torch.rand(2, 2, 4, 5, 6, dtype=torch.float64)
    heatmaps = [
        ZPlus("zero")(build_steps(nn.Sequential(*layers), "z+")[0], volumes, above)
        for layers in ([conv, norm], [plain])
    ]
    torch.testing.assert_close(heatmaps[0], heatmaps[1])


def test_relevance_in_training_mode_is_free_of_the_batch() -> None:
    """Logits use the batch's statistics there; relevance of fixed activations does not."""
    net, volumes = conv_net(), maps(n=4)
    logits, heatmaps = relevance_zplus(net.train(), volumes)
    net.eval()
    torch.testing.assert_close(heatmaps.flatten(1).sum(1), torch.ones(4).double())
    assert not torch.allclose(logits, net(volumes))


class _Loss(nn.Module):
    """Cross-entropy less the relevance in a mask, as in relevance-guided training."""

    def __init__(self, layers: nn.Sequential, volumes: Tensor, max_pool: str) -> None:
        super().__init__()
        self.layers, self.volumes, self.max_pool = layers, volumes, max_pool
        self.mask = (maps(volumes.shape[2:], len(volumes), seed=9) > 0.4).double()  # type: ignore[arg-type]

    def forward(self) -> Tensor:
        logits, heatmaps = relevance_zplus(
            self, self.volumes, create_graph=True, max_pool=self.max_pool
        )
        labels = torch.arange(len(self.volumes)) % 2
        inside = (self.mask * heatmaps).flatten(1).sum(1).mean()
        return functional.cross_entropy(logits, labels) - inside


@pytest.mark.parametrize("max_pool", ["winner", "average"])
@pytest.mark.parametrize("make", [conv_net, six_convolutions, lambda: patch_net(nn.ReLU)])
def test_gradients_of_the_guidance_loss_by_finite_differences(
    make: Callable[[], nn.Sequential], max_pool: str
) -> None:
    loss = _Loss(make(), maps(), max_pool)
    value = loss()
    names, parameters = zip(*loss.named_parameters(), strict=True)
    gradients = torch.autograd.grad(value, parameters)
    step = 1e-6
    with torch.no_grad():
        for name, parameter, gradient in zip(names, parameters, gradients, strict=True):
            some = range(0, parameter.numel(), max(1, parameter.numel() // 12))
            for index in some:
                flat = parameter.view(-1)
                middle = float(flat[index])
                ends = []
                for sign in (1, -1):
                    flat[index] = middle + sign * step
                    ends.append(float(loss()))
                flat[index] = middle
                slope = (ends[0] - ends[1]) / (2 * step)
                assert abs(slope - float(gradient.view(-1)[index])) < 1e-4, name
    assert all(g.isfinite().all() for g in gradients)
    assert sum(float(g.abs().sum()) > 0 for g in gradients) >= len(gradients) - 1


def test_the_result_can_be_differentiated_where_no_graph_is_on() -> None:
    net, volumes = conv_net(), maps()
    with torch.no_grad():
        assert relevance(net, volumes).requires_grad
    heatmap = relevance(net, volumes, "probability", 1).flatten(1).sum(1)
    torch.testing.assert_close(heatmap.detach(), net(volumes).softmax(1)[:, 1].detach())
    (slope,) = torch.autograd.grad(relevance(net, volumes)[:, :, 1].sum(), net[0].weight)
    assert slope.abs().sum() > 0


def test_several_channels() -> None:
    net = nn.Sequential(nn.Conv3d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2))
    scramble(net)
    volumes = torch.cat([maps(seed=k) for k in range(3)], dim=1)
    heatmaps = relevance(net, volumes)
    assert heatmaps.shape == (2, 3, 4, 5, 6)
    torch.testing.assert_close(heatmaps.detach().flatten(1).sum(1), torch.ones(2).double())


@pytest.mark.parametrize("name", ["graz", "gap3"])
def test_a_volume_alone_is_explained_as_in_company(name: str) -> None:
    """By another kernel of the processor: to rounding."""
    model, volumes = build(name, (32, 34, 36), seed=1).eval(), _volumes((32, 34, 36))
    logits, together = relevance_zplus(model, volumes)
    for i, volume in enumerate(volumes):
        logits_alone, alone = relevance_zplus(model, volume[None])
        torch.testing.assert_close(logits_alone[0], logits[i], rtol=1e-6, atol=1e-6)
        assert (alone[0] - together[i]).abs().max() < 1e-6 * together[i].abs().max()
