"""Networks whose right explanation is known: every method must find it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from chains import maps
from torch import Tensor, nn

from bids_xai.attribution import METHODS, explain

SHAPE = (8, 10, 12)
REGION = (slice(4, 6), slice(6, 8), slice(2, 4))
LRP = [name for name in METHODS if name.startswith("lrp")] + ["dtd"]


def _options(name: str) -> dict[str, object]:
    if name == "occlusion":
        return {"size": 2, "stride": 2}
    if name == "area-occlusion":
        atlas = np.arange(4 * 5 * 6).reshape(4, 5, 6) + 1
        return {"atlas": atlas.repeat(2, 0).repeat(2, 1).repeat(2, 2)}
    if name == "smoothgrad":
        return {"samples": 3}
    if name.startswith("lrp-composite"):
        return {"low": 0, "high": 1}
    return {}


def _one_voxel() -> nn.Sequential:
    """f_1 = 3 x at one voxel, f_0 = 0: by one convolution with kernel 1 and one dense layer."""
    net = nn.Sequential(
        nn.Conv3d(1, 1, 1, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 10 * 12, 2, bias=False),
    ).double()
    nn.init.constant_(net[0].weight, 1.5)
    nn.init.zeros_(net[3].weight)
    net[3].weight.data[1].reshape(SHAPE)[4, 6, 2] = 2.0
    return net


@pytest.mark.parametrize("name", [*LRP, "input-x-gradient"])
def test_one_voxel_in_closed_form(name: str) -> None:
    """All relevance of class 1 lies in the voxel, and it is 3 x (but for the stabilisers)."""
    net, volumes = _one_voxel(), maps(SHAPE) + 0.1
    heatmaps = explain(name, net, volumes, start="logit", **_options(name))
    expected = torch.zeros_like(volumes)
    expected[:, 0, 4, 6, 2] = 3 * volumes[:, 0, 4, 6, 2]
    # epsilon 0.001 of 3 x >= 0.3; weights of at least 1e-7 in z+
    torch.testing.assert_close(heatmaps, expected, rtol=0.02, atol=1e-6)
    if name in ("lrp-0", "lrp-gamma", "lrp-alphabeta", "input-x-gradient"):
        torch.testing.assert_close(heatmaps, expected, rtol=1e-12, atol=0)


def test_one_voxel_of_the_methods_with_other_units() -> None:
    net, volumes = _one_voxel(), maps(SHAPE) + 0.1
    x = volumes[:, 0, 4, 6, 2]
    p = 1 / (1 + (-3 * x).exp())
    at = (slice(None), 0, 4, 6, 2)
    same = torch.testing.assert_close
    same(explain("saliency", net, volumes)[at], 3 * p * (1 - p))
    same(explain("guided-backprop", net, volumes)[at], 3 * p * (1 - p))
    same(explain("smoothgrad", net, volumes, samples=1, noise=0)[at], torch.full_like(x, 3.0))
    same(explain("integrated-gradients", net, volumes, steps=300)[at], p - 0.5, rtol=1e-5, atol=0)
    same(explain("occlusion", net, volumes, size=1, stride=1)[at], p - 0.5)
    same(explain("area-occlusion", net, volumes, **_options("area-occlusion"))[at], p - 0.5)
    for name in ("saliency", "guided-backprop", "integrated-gradients", "occlusion"):
        options = {"size": 1, "stride": 1} if name == "occlusion" else {}
        heatmaps = explain(name, net, volumes, **options)
        heatmaps[at] = 0
        assert (heatmaps == 0).all()


def _one_region() -> nn.Sequential:
    """Reads the sum over REGION alone: a blob of it after smoothing, by global pooling."""
    net = nn.Sequential(
        nn.Conv3d(1, 2, 3, padding=1),
        nn.ReLU(),
        nn.Conv3d(2, 2, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(2, 2),
    ).double()
    for layer in net:
        if isinstance(layer, nn.Conv3d | nn.Linear):
            nn.init.constant_(layer.weight, 0.5)
            nn.init.constant_(layer.bias, -0.5 if isinstance(layer, nn.Conv3d) else 0.0)
    net[0].weight.data[:] = 0.1
    net[0].weight.data[..., 1, 1, 1] = 1.0
    net[-1].weight.data = torch.tensor([[-1.0, -1.0], [1.0, 1.0]], dtype=torch.float64)
    return net


@pytest.mark.parametrize("name", METHODS)
def test_every_method_finds_the_only_region(name: str) -> None:
    """Only REGION is above the threshold of the first layer; the rest is faint."""
    net = _one_region()
    volumes = 0.05 * maps(SHAPE)
    volumes[(slice(None), 0, *REGION)] = 1.0
    heatmaps = explain(name, net, volumes, **_options(name))
    for relevance in heatmaps[:, 0]:
        where = np.unravel_index(int(relevance.argmax()), SHAPE)
        inside = [part.start <= at < part.stop for part, at in zip(REGION, where, strict=True)]
        assert all(inside)


def _mirrored(net: nn.Sequential) -> nn.Sequential:
    """The network that sees the mirror image as ``net`` sees the image (first axis)."""
    other = _symmetric()
    other.load_state_dict(net.state_dict())
    for layer in other:
        if isinstance(layer, nn.Conv3d):
            layer.weight.data = layer.weight.data.flip(2)
        elif isinstance(layer, nn.Linear) and layer.in_features > 2:
            shape = (2, 2, 4, 3, 6)
            layer.weight.data = layer.weight.data.reshape(shape).flip(2).flatten(1)
    return other


def _symmetric(head: bool = True) -> nn.Sequential:
    return (
        nn.Sequential(
            nn.Conv3d(1, 2, 3, padding=1),
            nn.BatchNorm3d(2),
            nn.ReLU(),
            nn.MaxPool3d((2, 3, 2)),
            nn.Conv3d(2, 2, (3, 1, 1), padding=(1, 0, 0)),
            nn.ReLU(),
            *(
                [nn.Flatten(), nn.Linear(2 * 4 * 3 * 6, 2)]
                if head
                else [nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(2, 2)]
            ),
        )
        .double()
        .eval()
    )


@pytest.mark.parametrize("name", [name for name in METHODS if name != "cam"])
def test_the_mirror_image_has_the_mirrored_map(name: str) -> None:
    """Smoothgrad draws noise, which is not mirrored: without it."""
    torch.manual_seed(4)
    net = _symmetric()
    volumes: Tensor = torch.rand(2, 1, *SHAPE, dtype=torch.float64) + 0.01  # no equals in a window
    options = _options(name) | ({"noise": 0} if name == "smoothgrad" else {})
    heatmaps = explain(name, net, volumes, **options)
    if name == "area-occlusion":
        options["atlas"] = np.flip(np.asarray(options["atlas"]), 0).copy()
    mirrored = explain(name, _mirrored(net), volumes.flip(2), **options)
    assert heatmaps.abs().max() > 0
    # z+ at a unit that nothing reached: equals of 1e-7, of which a pool takes the first
    atol = 1e-8 if name in ("lrp-zplus", "dtd") else 1e-13
    torch.testing.assert_close(mirrored.flip(2), heatmaps, rtol=1e-9, atol=atol)
