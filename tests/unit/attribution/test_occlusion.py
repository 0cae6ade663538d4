"""Occlusion against a plain loop over whole forward passes, and what may be skipped."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from chains import SHAPE, conv_net, maps, patch_net, scramble, six_convolutions
from torch import Tensor, nn

from bids_xai.attribution import explain
from bids_xai.attribution.local_forward import LocalForward, box_slices
from bids_xai.errors import UsageError

LARGE = (9, 11, 13)


def _naive(net: nn.Module, volumes: Tensor, size: Any, stride: Any, value: float = 0.0) -> Tensor:
    """Every cube, the whole network."""
    shape = volumes.shape[2:]
    with torch.no_grad():
        p = net(volumes).softmax(1)[:, 1]
        total, covered = torch.zeros_like(volumes), torch.zeros_like(volumes)
        starts = [
            range(0, max(n - s, 0) + d, d) for n, s, d in zip(shape, size, stride, strict=True)
        ]
        for corner in product(*starts):
            cube = (
                slice(None),
                slice(None),
                *(slice(c, c + s) for c, s in zip(corner, size, strict=True)),
            )
            changed = volumes.clone()
            changed[cube] = value
            total[cube] += (p - net(changed).softmax(1)[:, 1]).reshape(-1, 1, 1, 1, 1)
            covered[cube] += 1
    return total / covered


def _deep(pool: nn.Module | None = None) -> nn.Module:
    """Strides, padding, dilation, pooling that cuts off the end of an axis."""
    net = (
        nn.Sequential(
            nn.Conv3d(1, 2, 3, padding=1),
            nn.BatchNorm3d(2),
            nn.ELU(),
            nn.MaxPool3d((2, 3, 2), padding=(0, 1, 1)) if pool is None else pool,
            nn.Conv3d(2, 3, (3, 1, 2), stride=(2, 1, 2), padding=(1, 0, 2), dilation=(1, 1, 2)),
            nn.ReLU(),
            nn.AvgPool3d((1, 2, 1), padding=(0, 1, 0)),
            nn.Dropout(),
            nn.Conv3d(3, 2, 1),
            nn.ELU(),
            nn.Flatten(),
        )
        .double()
        .eval()
    )
    n_features = net(maps(LARGE)).shape[1]
    return scramble(net.append(nn.Linear(n_features, 2)))


@pytest.mark.parametrize(
    ("size", "stride"), [((3, 4, 5), (2, 2, 3)), ((4, 4, 4), (4, 4, 4)), ((2, 20, 1), (1, 7, 1))]
)
@pytest.mark.parametrize("value", [0.0, 0.7])
def test_against_a_plain_loop(
    size: tuple[int, int, int], stride: tuple[int, int, int], value: float
) -> None:
    net, volumes = _deep(), maps(LARGE)
    heatmaps = explain("occlusion", net, volumes, size=size, stride=stride, value=value)
    expected = _naive(net, volumes, size, stride, value)
    torch.testing.assert_close(heatmaps, expected, rtol=1e-9, atol=1e-13)
    assert expected.abs().max() > 1e-4


@pytest.mark.parametrize(
    "net",
    [
        _deep(nn.MaxPool3d(2, ceil_mode=True)),
        _deep(nn.AvgPool3d(3, 2, 1, count_include_pad=False)),
        _deep(nn.AvgPool3d(3, 2, 1, divisor_override=5)),
        _deep(nn.MaxPool3d(2, 1, dilation=2)),
        _deep(nn.AdaptiveAvgPool3d((3, 3, 5))),
    ],
)
def test_other_poolings(net: nn.Module) -> None:
    volumes = maps(LARGE)
    heatmaps = explain("occlusion", net, volumes, size=4, stride=3)
    expected = _naive(net, volumes, (4, 4, 4), (3, 3, 3))
    torch.testing.assert_close(heatmaps, expected, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("net", [six_convolutions(), patch_net(), conv_net(nn.ELU)])
def test_other_networks(net: nn.Module) -> None:
    class Whole(nn.Module):
        """Not a chain: run as a whole."""

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = net(x)
            return logits

    volumes = maps()
    expected = _naive(net, volumes, (2, 3, 2), (1, 2, 2))
    for model in (net, Whole()):
        heatmaps = explain("occlusion", model, volumes, size=(2, 3, 2), stride=(1, 2, 2), batch=3)
        torch.testing.assert_close(heatmaps, expected, rtol=1e-9, atol=1e-13)


def test_a_change_in_a_box_runs_as_if_the_whole_were_run() -> None:
    net, volumes = _deep(), maps(LARGE)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        local = LocalForward(net, volumes)
        torch.testing.assert_close(local.logits, net(volumes))
        patches = []
        for _ in range(30):
            low = [int(torch.randint(n, (), generator=generator)) for n in LARGE]
            box = tuple(
                (a, int(torch.randint(a + 1, n + 1, (), generator=generator)))
                for a, n in zip(low, LARGE, strict=True)
            )
            patch = torch.rand(volumes[box_slices(box)].shape, generator=generator).double()
            patches.append((box, patch))
        for (box, patch), logits in zip(patches, local.logits_with(patches), strict=True):
            changed = volumes.clone()
            changed[box_slices(box)] = patch
            torch.testing.assert_close(logits, net(changed), rtol=1e-10, atol=1e-12)


def test_what_pooling_cuts_off_changes_nothing() -> None:
    net = nn.Sequential(nn.MaxPool3d((1, 1, 4)), nn.Flatten(), nn.Linear(20, 2)).double()
    heatmaps = explain("occlusion", net, maps(), size=(4, 5, 1), stride=1)
    assert heatmaps[..., 4:].abs().max() < 1e-12  # matrix products of other sizes round otherwise
    assert (heatmaps[..., 1].abs() > 1e-6).any()


def test_cubes_without_anything_to_cover_are_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    net, volumes = conv_net(), maps()
    volumes[:, :, 2:] = 0  # one layer (x = 1) is left
    runs: list[int] = []
    real = LocalForward.logits_with

    def counted(self: LocalForward, patches: Any) -> Tensor:
        runs.append(len(patches))
        return real(self, patches)

    monkeypatch.setattr(LocalForward, "logits_with", counted)
    heatmaps = explain("occlusion", net, volumes, size=(1, 5, 6), stride=1, batch=2)
    assert runs == [1]
    torch.testing.assert_close(heatmaps, _naive(net, volumes, (1, 5, 6), (1, 1, 1)))
    assert (heatmaps[:, :, [0, 2, 3]] == 0).all()
    volumes[1] = 0  # nothing to cover in the second volume only
    assert (explain("occlusion", net, volumes, size=2, stride=1)[1] == 0).all()


@pytest.mark.parametrize("kind", ["torch", "numpy", "numbers"])
def test_a_mask_leaves_cubes_out(kind: str) -> None:
    net, volumes = conv_net(), maps()
    mask: Any = torch.zeros(SHAPE, dtype=torch.bool)
    mask[1, 2:, 3] = True
    mask = {"torch": mask, "numpy": mask.numpy(), "numbers": mask.numpy().astype("uint16")}[kind]
    options = {"size": (2, 5, 2), "stride": (2, 5, 2)}
    everywhere = explain("occlusion", net, volumes, **options)
    heatmaps = explain("occlusion", net, volumes, mask=mask, **options)
    torch.testing.assert_close(heatmaps[:, :, :2, :, 2:4], everywhere[:, :, :2, :, 2:4])
    heatmaps[:, :, :2, :, 2:4] = 0
    assert (heatmaps == 0).all()
    volumes[:, :, 1, 2:, 3] = 0  # a cube counts if it holds the mask, whatever is in it
    part = explain("occlusion", net, volumes, mask=mask, **options)[:, :, :2, :, 2:4]
    assert torch.equal(part, explain("occlusion", net, volumes, **options)[:, :, :2, :, 2:4])
    assert (part != 0).all()
    volumes = maps()
    volumes *= torch.as_tensor(np.asarray(mask, dtype=float))  # now the mask holds all there is
    with_mask = explain("occlusion", net, volumes, mask=mask, size=2, stride=1)
    assert torch.equal(with_mask, explain("occlusion", net, volumes, size=2, stride=1))


def test_captum_agrees() -> None:
    attr = pytest.importorskip("captum.attr")
    net, volumes = _deep(), maps(LARGE)

    def probability(x: Tensor) -> Tensor:
        return net(x).softmax(1)

    expected = attr.Occlusion(probability).attribute(
        volumes, (1, 3, 4, 5), strides=(1, 2, 2, 3), target=1
    )
    heatmaps = explain("occlusion", net, volumes, size=(3, 4, 5), stride=(2, 2, 3))
    torch.testing.assert_close(heatmaps.float(), expected, rtol=1e-5, atol=1e-7)
    atlas = _atlas()
    groups = torch.from_numpy(np.unique(atlas, return_inverse=True)[1].reshape(LARGE))
    expected = attr.FeatureAblation(probability).attribute(volumes, target=1, feature_mask=groups)
    heatmaps = explain("area-occlusion", net, volumes, atlas=atlas)
    expected[:, 0, torch.from_numpy(atlas) == 0] = 0
    torch.testing.assert_close(heatmaps, expected.double(), rtol=1e-5, atol=1e-7)


def _atlas() -> np.ndarray:
    """Labels above 255, one region in two parts, one in the background of the maps."""
    atlas = np.zeros(LARGE, dtype=np.uint16)
    atlas[1:4, 2:6, 3:7] = 300
    atlas[6:8, 2:6, 3:7] = 300
    atlas[2, 8:, 2:] = 512
    atlas[4:6, 3:9, 2:9] = 1
    atlas[0, :, 0] = 256
    return atlas


@pytest.mark.parametrize("kind", ["uint16", "int32", "float32", "torch"])
def test_areas_against_a_plain_loop(kind: str) -> None:
    net, volumes, atlas = _deep(), maps(LARGE), _atlas()
    given: Any = torch.from_numpy(atlas.astype(int)) if kind == "torch" else atlas.astype(kind)
    heatmaps = explain("area-occlusion", net, volumes, atlas=given, batch=2)
    expected = torch.zeros_like(volumes)
    with torch.no_grad():
        for label in (1, 256, 300, 512):
            inside = torch.from_numpy(atlas == label)
            change = net(volumes).softmax(1) - net(volumes.where(~inside, 0.0)).softmax(1)
            expected[:, 0, inside] = change[:, 1:]
    torch.testing.assert_close(heatmaps, expected, rtol=1e-9, atol=1e-13)
    assert (heatmaps[:, 0, 0, :, 0] == 0).all()
    assert (heatmaps[:, 0, 2, 9, 4] != 0).all()


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("occlusion", {"size": 2, "stride": 3}, "leave gaps"),
        ("occlusion", {"size": 0}, "size 0"),
        ("occlusion", {"size": (2, 2)}, r"size \(2, 2\)"),
        ("occlusion", {"stride": 1.5}, "stride 1.5"),
        ("occlusion", {"batch": 0}, "batch 0"),
        ("occlusion", {"mask": np.ones((4, 5, 5))}, r"mask has shape \(4, 5, 5\)"),
        ("occlusion", {"start": "softmax"}, "explains one class"),
        ("area-occlusion", {}, "needs an atlas"),
        ("area-occlusion", {"atlas": np.ones((6, 5, 4))}, r"atlas has shape \(6, 5, 4\)"),
        ("area-occlusion", {"atlas": np.full(SHAPE, 1.5)}, "not whole numbers"),
    ],
)
def test_options_that_make_no_sense(method: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        explain(method, conv_net(), maps(), **options)
