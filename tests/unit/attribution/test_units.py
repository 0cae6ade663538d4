"""Relevance from inside the network, and the volumes that filters answer to."""

from __future__ import annotations

import pytest
import torch
from chains import SHAPE, conv_net, maps, patch_net
from torch import nn

from bids_xai.attribution import explain
from bids_xai.attribution.maximization import maximize_activation
from bids_xai.attribution.units import unit_relevance
from bids_xai.errors import BadDataError, UsageError
from bids_xai.models.pif import PIF3d


@pytest.mark.parametrize("layer", [6, "6", -6])
def test_a_filter_sums_to_its_activation(layer: int | str) -> None:
    net, volumes = conv_net(), maps()
    activation = net[:7](volumes).detach()
    parts = [unit_relevance(net, volumes, layer, channel=k, beta=0.5) for k in range(3)]
    for k, part in enumerate(parts):
        torch.testing.assert_close(part.flatten(1).sum(1), activation[:, k].flatten(1).sum(1))
    torch.testing.assert_close(sum(parts), unit_relevance(net, volumes, layer, beta=0.5))


def test_the_last_layer_is_the_method_itself() -> None:
    net, volumes = conv_net(), maps()
    heatmaps = unit_relevance(net, volumes, -1, channel=1, method="lrp-epsilon")
    torch.testing.assert_close(heatmaps, explain("lrp-epsilon", net, volumes))
    heatmaps = unit_relevance(net, volumes, -1, channel=1, beta=4)
    torch.testing.assert_close(
        heatmaps, explain("lrp-alphabeta", net, volumes, beta=4, start="logit")
    )


def test_one_voxel_of_a_filter_stays_in_its_field_of_view() -> None:
    net, volumes = conv_net(norm=False), maps((7, 8, 9))[:, :, 1:]
    net = net[:1]
    heatmaps = unit_relevance(net, volumes, 0, channel=0, voxel=(3, 4, 2))
    outside = heatmaps.clone()
    outside[:, :, 2:5, 3:6, 1:4] = 0
    assert (outside == 0).all()
    value = net(volumes)[:, 0, 3, 4, 2].detach()
    assert (value != 0).all()
    torch.testing.assert_close(heatmaps.flatten(1).sum(1), value)


@pytest.mark.parametrize("layer", [2, 3])
def test_patches_of_patch_individual_filters(layer: int) -> None:
    net, volumes = patch_net(nn.ReLU), maps()
    halves = [unit_relevance(net, volumes, layer, channel=1, patch=k) for k in range(2)]
    both = unit_relevance(net, volumes, layer, channel=1)
    torch.testing.assert_close(halves[0] + halves[1], both)
    activation = net[: layer + 1](volumes)[:, 1].detach()
    torch.testing.assert_close(halves[1].flatten(1).sum(1), activation[:, 2:].flatten(1).sum(1))
    assert (halves[0][:, :, 3] == 0).all()
    assert (halves[1][:, :, 0] == 0).all()


def test_patches_of_the_networks_own_layer() -> None:
    """The overlapping patches come after the others; relevance stays what the patch can see."""
    pif = PIF3d(2, 3, SHAPE, (2, 2, 3))
    net = nn.Sequential(nn.Conv3d(1, 2, 1), nn.ELU(), pif, nn.ELU()).double()
    volumes = maps() + 0.1  # a unit that only its bias feeds would keep its relevance
    slices = pif.patch_slices()
    activation = net(volumes).detach()
    for patch in (0, 5, len(slices) - 1):
        heatmaps = unit_relevance(net, volumes, 3, channel=2, patch=patch, beta=4)
        where = (slice(None), slice(None), *slices[patch])
        value = activation[where][:, 2].flatten(1).sum(1)
        torch.testing.assert_close(heatmaps.flatten(1).sum(1), value)
    with pytest.raises(UsageError, match=f"no patch {len(slices)}"):
        unit_relevance(net, volumes, 3, patch=len(slices))


def test_the_model_is_left_as_found() -> None:
    net, volumes = conv_net(), maps()
    net.train()
    before = unit_relevance(net, volumes, 6)
    assert all(module.training for module in net.modules())
    assert torch.equal(before, unit_relevance(net.eval(), volumes, 6))
    assert not before.requires_grad
    maximize_activation(net.train(), SHAPE, 6, 0, steps=1)
    assert all(module.training for module in net.modules())


@pytest.mark.parametrize(
    ("layer", "options", "message"),
    [
        (99, {}, "no layer 99"),
        ("1.weight", {}, "no layer 1.weight"),
        (6, {"channel": 3}, "no channel 3"),
        (6, {"voxel": (0, 0, 9)}, "no voxel 9"),
        (6, {"patch": 0}, "has no patches"),
        (6, {"patch": 0, "voxel": (0, 0, 0)}, "cannot be combined"),
        (8, {"patch": 0}, "neither voxels nor patches"),
        (6, {"method": "saliency"}, "propagates no relevance"),
        (6, {"epsilon": 1}, "no option epsilon"),
    ],
)
def test_units_that_are_not_there(
    layer: int | str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        unit_relevance(conv_net(), maps(), layer, **options)  # type: ignore[arg-type]


def test_the_conditions_of_the_method_hold_inside_too() -> None:
    with pytest.raises(BadDataError, match="inputs >= 0"):
        unit_relevance(conv_net(), maps() - 0.5, 6, method="lrp-zplus")
    with pytest.raises(UsageError, match="no patch 2"):
        unit_relevance(patch_net(), maps(), 2, patch=2)


def test_the_maximum_of_a_linear_filter_is_its_own_shape() -> None:
    """f = w x has its maximum in the box [0, 1] at 1 where w > 0 and at 0 where w < 0."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(120, 3)).double()
    maximized = maximize_activation(net, SHAPE, 1, 2, jitter=0, decay=0, steps=300)
    weight = net[1].weight[2].detach().reshape(1, 1, *SHAPE)
    strong = weight.abs() > 0.01
    assert torch.equal(maximized.volume[strong], (weight > 0).double()[strong])
    assert maximized.volume.shape == (1, 1, *SHAPE)
    assert len(maximized.activations) == 301
    assert (maximized.activations.diff() >= -1e-12).all()
    torch.testing.assert_close(maximized.activations[-1], net(maximized.volume)[0, 2].detach())


def test_a_shift_is_taken_back() -> None:
    """One step for a filter that reads one voxel, of a volume that was shifted before."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(120, 1)).double()
    nn.init.zeros_(net[1].weight)
    net[1].weight.data.reshape(SHAPE)[1, 2, 3] = 1.0
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        torch.rand(1, 1, *SHAPE, generator=generator, dtype=torch.float64)
        shift = torch.randint(-1, 2, (3,), generator=generator).tolist()
        maximized = maximize_activation(net, SHAPE, 1, 0, steps=1, seed=seed)
        seen = maximized.volume.roll(shift, (2, 3, 4))[0, 0]
        assert seen.argmax() == (1 * 5 + 2) * 6 + 3


def test_maximisation_repeats_and_stays_between_its_bounds() -> None:
    net = conv_net()
    state = torch.get_rng_state()
    options = {"steps": 20, "low": -0.5, "high": 2.0, "seed": 3}
    runs = [maximize_activation(net, SHAPE, 4, 2, **options) for _ in range(2)]  # type: ignore[arg-type]
    assert torch.equal(runs[0].volume, runs[1].volume)
    assert torch.equal(torch.get_rng_state(), state)
    assert runs[0].volume.min() >= -0.5
    assert runs[0].volume.max() <= 2
    assert runs[0].activations[-1] > runs[0].activations[0]
    other = maximize_activation(net, SHAPE, 4, 2, steps=20, seed=4)
    assert not torch.equal(runs[0].volume, other.volume)


@pytest.mark.parametrize(
    ("layer", "channel", "options", "message"),
    [
        (4, 3, {}, "no channel 3"),
        (40, 0, {}, "no layer 40"),
        (4, 0, {"steps": 0}, "0 steps"),
        (4, 0, {"low": 1.0}, "between 1.0 and 1.0"),
    ],
)
def test_filters_that_are_not_there(
    layer: int, channel: int, options: dict[str, float], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        maximize_activation(conv_net(), SHAPE, layer, channel, **options)  # type: ignore[arg-type]
