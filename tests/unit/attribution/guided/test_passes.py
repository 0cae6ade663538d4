"""Sums of relevance in a mask: equal to those of the map, their gradients to autograd's."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from chains import scramble
from torch import Tensor, nn
from torch.nn import functional

from bids_xai.attribution.guided import covers, masked_relevance
from bids_xai.attribution.zplus import NegativeInputError, relevance_zplus
from bids_xai.errors import BadDataError
from bids_xai.models import MODELS, build

SHAPE = (7, 8, 9)
CONVOLUTIONS: dict[str, list[nn.Conv3d]] = {
    "one": [nn.Conv3d(1, 2, 3, padding=1)],
    "strided": [nn.Conv3d(1, 3, 3, padding=1), nn.Conv3d(3, 2, 3, stride=2, padding=1)],
    "two channels": [nn.Conv3d(2, 3, 2, stride=2), nn.Conv3d(3, 2, 3, padding=2)],
    "uneven": [
        nn.Conv3d(1, 2, (3, 2, 1), stride=(1, 2, 1), padding=(2, 0, 0)),
        nn.Conv3d(2, 3, (2, 1, 4), stride=(3, 1, 2), padding=(1, 0, 2)),
        nn.Conv3d(3, 2, 1),
    ],
    "leaves planes over": [nn.Conv3d(1, 2, 3, stride=3), nn.Conv3d(2, 2, 2, stride=2, padding=1)],
}
"""Kernels, strides and paddings, even and odd, that differ from axis to axis."""


def network(convolutions: list[nn.Conv3d], seed: int = 0) -> nn.Sequential:
    """The convolutions, each with a ReLU, then two dense layers; float64."""
    blocks = [layer for conv in deepcopy(convolutions) for layer in (conv, nn.ReLU())]
    channels = convolutions[0].in_channels
    n = nn.Sequential(*blocks).float()(torch.zeros(1, channels, *SHAPE)).numel()
    net = nn.Sequential(*blocks, nn.Flatten(), nn.Linear(n, 4), nn.ReLU(), nn.Linear(4, 3))
    scramble(net, seed)
    return net


def volumes_for(net: nn.Sequential, n: int = 2) -> Tensor:
    """Volumes in [0, 1] with a background of exact zeros, at two borders."""
    generator = torch.Generator().manual_seed(3)
    shape = (n, net[0].in_channels, *SHAPE)
    volumes = torch.rand(shape, generator=generator, dtype=torch.float64)
    volumes[:, :, :2] = 0
    volumes[..., -1] = 0
    return volumes


def masks_for(volumes: Tensor) -> Tensor:
    """Any numbers; the border counts, too."""
    shape = (len(volumes), 1, *volumes.shape[2:])
    generator = torch.Generator().manual_seed(4)
    return torch.rand(shape, generator=generator).to(volumes) - 0.3


def gradients_of(net: nn.Module, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(net.parameters())))


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_sums_and_gradients_are_those_of_the_map(name: str) -> None:
    """Inputs are raised by the floor here and to the floor there: 1e-7 makes all the difference."""
    net = network(CONVOLUTIONS[name])
    volumes = volumes_for(net)
    masks, labels = masks_for(volumes), torch.tensor([0, 2])
    weights = torch.tensor([0.7, -1.9], dtype=torch.float64)  # a factor for each volume
    assert covers(net, volumes)
    logits, relevance = relevance_zplus(net, volumes, create_graph=True)
    inner = (masks * relevance).flatten(1).sum(1)
    sums = masked_relevance(net, volumes, masks, 3.0)
    torch.testing.assert_close(sums.logits, logits, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(sums.inner, 3 * inner, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sums.total, relevance.flatten(1).sum(1), rtol=1e-12, atol=1e-12)
    assert not sums.total.requires_grad
    expected = gradients_of(
        net, functional.cross_entropy(logits, labels) + 3 * (weights * inner).sum()
    )
    given = gradients_of(
        net, functional.cross_entropy(sums.logits, labels) + (weights * sums.inner).sum()
    )
    for ours, theirs in zip(given, expected, strict=True):
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() < 1e-4 * theirs.abs().max()


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_gradients_are_differences(name: str) -> None:
    """Along a direction in the space of all weights, by central differences in float64."""
    net = network(CONVOLUTIONS[name], seed=1)
    volumes = volumes_for(net)
    masks = masks_for(volumes)
    parameters = list(net.parameters())
    generator = torch.Generator().manual_seed(5)
    direction = [
        torch.randn(p.shape, generator=generator, dtype=torch.float64) * 1e-6 for p in parameters
    ]

    def loss() -> Tensor:
        sums = masked_relevance(net, volumes, masks)
        return sums.inner.sum() + (sums.logits * torch.tensor([0.2, -0.5, 0.1])).sum()

    slope = sum((g * d).sum() for g, d in zip(gradients_of(net, loss()), direction, strict=True))
    ends = []
    for sign in (1, -2):  # there, and to the other side
        with torch.no_grad():
            for parameter, step in zip(parameters, direction, strict=True):
                parameter.add_(step, alpha=sign)
            ends.append(loss())
    assert float(ends[0] - ends[1]) == pytest.approx(2 * float(slope), rel=1e-5)


def test_the_floor_knows_the_border() -> None:
    """Without input, relevance is spread by weights alone, and padding takes no part in it."""
    net = network(CONVOLUTIONS["uneven"])
    volumes = torch.zeros(1, 1, *SHAPE, dtype=torch.float64)
    _, relevance = relevance_zplus(net, volumes)
    for corner in ((0, 0, 0), (6, 6, 8), (3, 4, 4)):
        masks = torch.zeros(1, 1, *SHAPE, dtype=torch.float64)
        masks[(0, 0, *corner)] = 1
        sums = masked_relevance(net, volumes, masks)
        assert float(sums.inner) > 0
        torch.testing.assert_close(sums.inner[0], relevance[(0, 0, *corner)], rtol=2e-2, atol=0)
    # the first layer, by hand: a unit whose kernel meets k voxels gives each its share of them
    first = nn.Sequential(nn.Conv3d(1, 1, (3, 1, 1), padding=(1, 0, 0)), nn.ReLU(), nn.Flatten())
    net = nn.Sequential(*first, nn.Linear(3, 2)).double()
    for parameter in net.parameters():
        nn.init.constant_(parameter, 1.0 if parameter.ndim > 1 else 0.0)
    masks = torch.tensor([1.0, 0, 0], dtype=torch.float64).reshape(1, 1, 3, 1, 1)
    sums = masked_relevance(net, torch.zeros(1, 1, 3, 1, 1, dtype=torch.float64), masks)
    assert float(sums.inner) == pytest.approx((1 / 2 + 1 / 3) / 3)


def test_the_app_s_network_in_single_precision() -> None:
    model, shape = build("graz", (24, 29, 24), seed=1), (24, 29, 24)
    volumes = torch.rand(3, 1, *shape, generator=torch.Generator().manual_seed(0))
    volumes[:, :, :4] = 0
    masks = torch.zeros(3, 1, *shape)
    masks[:, :, 5:-5, 5:-5, 5:-5] = 1
    logits, relevance = relevance_zplus(model, volumes, create_graph=True)
    inner = (masks * relevance).flatten(1).sum(1)
    sums = masked_relevance(model, volumes, masks)
    torch.testing.assert_close(sums.inner, inner, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sums.total, torch.ones(3), rtol=1e-5, atol=1e-5)
    pairs = zip(
        gradients_of(model, logits.logsumexp(1).sum() - inner.sum()),
        gradients_of(model, sums.logits.logsumexp(1).sum() - sums.inner.sum()),
        strict=True,
    )
    for theirs, ours in pairs:
        assert (ours - theirs).abs().max() < 1e-4 * theirs.abs().max()


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_without_gradients_the_sums_are_the_same(name: str) -> None:
    """Memory is then used again, but not that of volumes, masks and weights."""
    net = network(CONVOLUTIONS[name])
    volumes = volumes_for(net)
    masks = masks_for(volumes)
    before = [tensor.clone() for tensor in (volumes, masks, *net.parameters())]
    sums = masked_relevance(net, volumes, masks)
    with torch.no_grad():
        plain = masked_relevance(net, volumes, masks)
    for sum_name in ("logits", "inner", "total"):
        ours, theirs = getattr(plain, sum_name), getattr(sums, sum_name).detach()
        torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=1e-13)
        assert not ours.requires_grad
    assert all(map(torch.equal, before, (volumes, masks, *net.parameters())))


def test_logits_alone_can_be_trained_on() -> None:
    net = network(CONVOLUTIONS["strided"])
    volumes = volumes_for(net)
    expected = gradients_of(net, net(volumes).logsumexp(1).sum())
    sums = masked_relevance(net, volumes, masks_for(volumes))
    for ours, theirs in zip(
        gradients_of(net, sums.logits.logsumexp(1).sum()), expected, strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_frozen_layers_get_no_gradient() -> None:
    net = network(CONVOLUTIONS["strided"])
    volumes = volumes_for(net)

    def loss() -> Tensor:
        sums = masked_relevance(net, volumes, masks_for(volumes))
        return sums.inner.sum() + sums.logits.sum()

    whole = gradients_of(net, loss())
    net[0].requires_grad_(False)
    net[2].requires_grad_(False)
    loss().backward()  # type: ignore[no-untyped-call]
    assert net[0].weight.grad is None
    torch.testing.assert_close([p.grad for p in net[5:].parameters()], whole[4:])


def test_the_tape_is_let_go_without_a_collector() -> None:
    """Gigabytes that wait for Python's collector of cycles would be a leak."""
    net = network(CONVOLUTIONS["strided"])
    volumes = volumes_for(net)
    gc.disable()
    try:
        sums = masked_relevance(net, volumes, masks_for(volumes))
        function = weakref.ref(sums.inner.grad_fn)
        tape = weakref.ref(sums.inner.grad_fn.tape)  # type: ignore[union-attr]
        layer = tape().layers[0]  # type: ignore[union-attr]
        assert "z" in vars(layer)
        loss = sums.inner.sum() + sums.logits.sum()
        loss.backward()  # type: ignore[no-untyped-call]
        assert "z" not in vars(layer)  # the graph still lives
        with pytest.raises(RuntimeError):
            loss.backward()  # type: ignore[no-untyped-call]
        sums = masked_relevance(net, volumes, masks_for(volumes))
        tape = weakref.ref(sums.inner.grad_fn.tape)  # type: ignore[union-attr]
        del sums, loss
        assert tape() is None
        assert function() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("value", [-1e-9, float("nan")])
@pytest.mark.parametrize("error", [NegativeInputError, BadDataError])
def test_input_that_z_plus_cannot_take_is_refused(value: float, error: type[Exception]) -> None:
    net = network(CONVOLUTIONS["one"])
    volumes = volumes_for(net)
    volumes[1, 0, 3, 3, 3] = value
    with pytest.raises(error, match="inputs >= 0"):
        masked_relevance(net, volumes, masks_for(volumes))


def test_which_networks_of_the_app_are_covered() -> None:
    covered = set()
    for name in MODELS:
        model = build(name, (110, 110, 110))
        if covers(model, torch.zeros(1, 1, 1, 1, 1)):
            covered.add(name)
    assert covered == {"graz"}


def _with(change: Callable[[list[nn.Module]], None]) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv3d(1, 2, 3, padding=1), nn.ReLU(), nn.Flatten()]
    layers += [nn.Linear(2 * 27, 3), nn.ReLU(), nn.Linear(3, 2)]
    change(layers)
    return nn.Sequential(*layers)


@pytest.mark.parametrize(
    "change",
    [
        lambda layers: layers.insert(1, nn.BatchNorm3d(2)),
        lambda layers: layers.insert(2, nn.MaxPool3d(1)),
        lambda layers: layers.insert(3, nn.Dropout(0.5)),
        lambda layers: layers.pop(1),
        lambda layers: layers.pop(4),
        lambda layers: layers.pop(),
        lambda layers: layers.__setitem__(1, nn.ELU()),
        lambda layers: layers.__setitem__(0, nn.Conv3d(1, 2, 3, padding=3)),
        lambda layers: layers.__setitem__(0, nn.Conv3d(1, 2, 3, padding="same")),
        lambda layers: layers.__setitem__(0, nn.Conv3d(1, 2, 2, dilation=2)),
        lambda layers: layers.__setitem__(0, nn.Conv3d(1, 2, 3, bias=False)),
        lambda layers: layers.__setitem__(0, nn.Conv3d(1, 2, 3, padding_mode="circular")),
        lambda layers: layers.__delitem__(slice(0, 2)),
    ],
)
def test_other_networks_are_not_covered(change: Callable[[list[nn.Module]], None]) -> None:
    volumes = torch.rand(1, 1, 3, 3, 3)
    assert covers(_with(lambda layers: None), volumes)
    model = _with(change)
    assert not covers(model, volumes)
    with pytest.raises(ValueError, match="chain of convolutions"):
        masked_relevance(model, volumes, volumes)


def test_other_devices_are_not_covered() -> None:
    model = build("graz", (8, 8, 8))
    assert covers(model, torch.zeros(1, 1, 8, 8, 8))
    assert not covers(model, torch.zeros(1, 1, 8, 8, 8, device="meta"))
    assert not covers(model, torch.zeros(1, 8, 8, 8))
