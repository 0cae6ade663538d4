"""What every network of the table promises, and the layout of each."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bids_xai.errors import UsageError
from bids_xai.models import MODELS, build, network_options
from bids_xai.models.chain import Chain
from bids_xai.models.pif import PIF3d

Grid = tuple[int, int, int]

LEAVES = (
    nn.Conv3d,
    nn.BatchNorm3d,
    nn.ReLU,
    nn.ELU,
    nn.MaxPool3d,
    nn.AvgPool3d,
    nn.AdaptiveAvgPool3d,
    nn.Dropout,
    nn.Dropout3d,
    nn.Flatten,
    nn.Linear,
    nn.Identity,
    PIF3d,
)

# By hand, from the last layer up: a convolution without padding adds 2 voxels, a pool of window
# k and stride s needs (n - 1) * s + k. For vgg-a: 1, 4, 6, 8, 10, 30, 32, 96, 98.
SMALLEST: dict[str, Grid] = {
    "graz": (1, 1, 1),
    "boehle": (78, 78, 78),
    "rieke": (78, 78, 78),
    "sixtyfour": (71, 71, 71),
    "vgg-a": (98, 98, 98),
    "vgg-b": (80, 80, 80),
    "vgg-a-pif": (53, 53, 53),
    "vgg-b-pif": (35, 35, 35),
    "gap3": (8, 8, 8),
    "gap6": (64, 64, 64),
    "gap": (8, 8, 8),
    "patch": (68, 80, 68),
}


def conv(before: int, after: int) -> int:
    return 27 * before * after + after


def dense(before: int, after: int) -> int:
    return before * after + after


BLOCKS = conv(1, 8) + conv(8, 16) + conv(16, 32) + conv(32, 64)
BATCH_NORMS = 2 * (8 + 16 + 32 + 64)

# Counted by hand on the grid of the paper; products of three are voxels behind the convolutions.
PARAMETERS: dict[str, tuple[Grid, int]] = {
    "graz": (
        (176, 224, 256),
        conv(1, 8) + 7 * conv(8, 8) + dense(8 * (11 * 14 * 16), 16) + dense(16, 2),
    ),
    "boehle": (
        (193, 229, 193),
        BLOCKS + BATCH_NORMS + dense(64 * (4 * 5 * 4), 128) + dense(128, 2),
    ),
    "rieke": (
        (193, 229, 193),
        BLOCKS + BATCH_NORMS + dense(64 * (4 * 5 * 4), 128) + dense(128, 64) + dense(64, 2),
    ),
    "sixtyfour": ((96, 114, 96), conv(1, 64) + 3 * conv(64, 64) + dense(64 * (1 * 2 * 1), 2)),
    "vgg-a": (
        (182, 218, 182),
        BLOCKS + conv(64, 64) + dense(64 * (5 * 7 * 5), 100) + dense(100, 2),
    ),
    "vgg-b": (
        (182, 218, 182),
        conv(1, 8)
        + conv(8, 32)
        + conv(32, 64)
        + conv(64, 64)
        + dense(64 * (4 * 6 * 4), 100)
        + dense(100, 2),
    ),
    "vgg-a-pif": (
        (182, 218, 182),
        BLOCKS
        + (3 * 4 * 3 + 2 * 3 * 2) * conv(64, 6)
        + dense(6 * (15 * 19 * 15), 100)
        + dense(100, 2),
    ),
    "vgg-b-pif": (
        (182, 218, 182),
        conv(1, 8)
        + conv(8, 32)
        + conv(32, 64)
        + (4 * 5 * 4 + 3 * 3 * 3) * conv(64, 6)
        + dense(6 * (17 * 21 * 17), 100)
        + dense(100, 2),
    ),
    "gap3": ((128, 128, 128), conv(1, 8) + conv(8, 16) + conv(16, 32) + dense(32, 2)),
    "gap6": ((128, 128, 128), BLOCKS + 2 * conv(64, 64) + dense(64, 2)),
    "gap": ((128, 128, 128), conv(1, 8) + conv(8, 16) + conv(16, 32) + dense(32, 2)),
    "patch": (
        (182, 218, 182),
        conv(1, 15)
        + conv(15, 25)
        + conv(25, 50)
        + conv(50, 50)
        + dense(50 * (4 * 4 * 4), 40)
        + dense(40, 2),
    ),
}


def grid_for(name: str) -> Grid:
    """Three different axes, little more than the smallest."""
    x, y, z = SMALLEST[name]
    return (x + 2, y, z + 1) if x > 1 else (18, 33, 20)


@cache
def network(name: str) -> Chain:
    """Two channels, three classes; read only."""
    model = build(name, grid_for(name), 3, channels=2, seed=4)
    assert isinstance(model, Chain)
    return model.eval()


def fresh(name: str, seed: int = 0, **options: Any) -> Chain:
    model = build(name, grid_for(name), seed=seed, **options)
    assert isinstance(model, Chain)
    return model


def on_meta(name: str, shape: Grid, **options: Any) -> Chain:
    """Shapes without numbers."""
    with torch.device("meta"):
        model = build(name, shape, **options)
    assert isinstance(model, Chain)
    return model.to("meta")


def n_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def grids(model: Chain) -> list[tuple[int, ...]]:
    """(channels, x, y, z) behind every convolution, PIF layer and pool."""
    x = torch.empty(1, model.channels, *model.input_shape, device="meta")
    shapes = []
    for layer in model.layers:
        x = layer(x)
        if isinstance(layer, nn.Conv3d | PIF3d | nn.MaxPool3d | nn.AdaptiveAvgPool3d):
            shapes.append(tuple(x.shape[1:]))
    return shapes


@pytest.mark.parametrize("name", MODELS)
def test_one_chain_is_the_whole_forward_and_the_batch_does_not_matter(name: str) -> None:
    model = network(name)
    volumes = torch.rand(2, 2, *grid_for(name))
    with torch.no_grad():
        x = volumes
        for layer in model.layers:
            x = layer(x)
        alone = model(volumes[1:])
    assert alone.shape == (1, 3)
    assert x.isfinite().all()
    assert x.std() > 0
    torch.testing.assert_close(x[1:], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_layers_are_those_that_attribution_knows(name: str) -> None:
    model = network(name)
    assert [child for child, _ in model.named_children()] == ["layers"]
    for layer in model.layers.modules():
        assert isinstance(layer, (nn.Sequential, *LEAVES))
        assert not getattr(layer, "inplace", False)


@pytest.mark.parametrize("name", MODELS)
def test_the_seed_decides_and_the_global_generator_is_untouched(name: str) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    weights = fresh(name, seed=7).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    same, other = fresh(name, seed=7).state_dict(), fresh(name, seed=8).state_dict()
    assert all(torch.equal(weights[key], same[key]) for key in weights)
    drawn = [key for key, value in weights.items() if value.dim() > 1]
    assert drawn
    assert not any(torch.equal(weights[key], other[key]) for key in drawn)


@pytest.mark.parametrize("name", MODELS)
def test_the_smallest_volume_and_what_is_said_of_a_smaller_one(name: str) -> None:
    smallest = SMALLEST[name]
    assert on_meta(name, smallest)(torch.empty(1, 1, *smallest, device="meta")).shape == (1, 2)
    for axis in range(3):
        shape = [n + 3 for n in smallest]
        shape[axis] = smallest[axis] - 1
        message = "three axes" if name == "graz" else rf"{name} needs at least {smallest[axis]}"
        if name == "patch":
            message = "at least 68 x 80 x 68 voxels"
        with pytest.raises(UsageError, match=message) as caught:
            on_meta(name, (shape[0], shape[1], shape[2]))
        assert caught.value.fix


@pytest.mark.parametrize("name", MODELS)
def test_number_of_parameters_on_the_grid_of_the_paper(name: str) -> None:
    shape, expected = PARAMETERS[name]
    model = on_meta(name, shape)
    assert n_parameters(model) == expected
    assert model(torch.empty(2, 1, *shape, device="meta")).shape == (2, 2)


def test_the_count_of_boehle_is_the_published_one() -> None:
    assert PARAMETERS["boehle"][1] == 728_898


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("boehle", (193, 229, 193), {(64, 4, 5, 4)}),
        ("sixtyfour", (96, 114, 96), {(64, 31, 37, 31), (64, 9, 11, 9), (64, 1, 2, 1)}),
        ("vgg-a", (182, 218, 182), {(8, 60, 72, 60), (16, 19, 23, 19), (64, 5, 7, 5)}),
        ("vgg-b", (182, 218, 182), {(64, 15, 19, 15), (64, 4, 6, 4)}),
        ("vgg-a-pif", (182, 218, 182), {(64, 15, 19, 15), (6, 15, 19, 15)}),
        ("vgg-b-pif", (182, 218, 182), {(64, 17, 21, 17), (6, 17, 21, 17)}),
        ("gap6", (128, 128, 128), {(8, 64, 64, 64), (64, 2, 2, 2), (64, 1, 1, 1)}),
        ("patch", (182, 218, 182), {(50, 11, 14, 11), (40, 2, 3, 2), (2, 1, 1, 1)}),
    ],
)
def test_grids_on_the_volumes_of_the_papers(
    name: str, shape: Grid, expected: set[tuple[int, ...]]
) -> None:
    assert expected <= set(grids(on_meta(name, shape)))


def test_model_a_of_the_small_volumes() -> None:
    options: dict[str, Any] = {"filters": (8, 16, 32, 64, 36), "second_stride": 2, "hidden": 80}
    model = on_meta("vgg-a", (96, 114, 96), **options)
    assert grids(model)[-1] == (36, 3, 4, 3)
    options = {"filters": [8, 16, 32, 64], "second_stride": 2, "pif_filters": 3}
    assert grids(on_meta("vgg-a-pif", (96, 114, 96), **options))[-1] == (3, 10, 13, 10)


def kinds(model: Chain) -> list[str]:
    short = {"Conv3d": "C", "BatchNorm3d": "B", "ReLU": "R", "ELU": "E", "MaxPool3d": "M"}
    short |= {"Dropout": "D", "Dropout3d": "D", "Flatten": "F", "Linear": "L", "PIF3d": "P"}
    short |= {"AdaptiveAvgPool3d": "A"}
    return [short[type(layer).__name__] for layer in model.layers]


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("graz", "CRCR CRCR CRCR CRCR FLRL"),
        ("boehle", "CBRM CBRM CBRM CBRM F DLR DL"),
        ("rieke", "CBRM CBRM CBRM CBRM F DLR LR L"),
        ("sixtyfour", "CEMD CEMD CE CEMD F L"),
        ("vgg-a", "CEMD CEMD CE CE CEMD F LE L"),
        ("vgg-b", "CEMD CEMD CE CEMD F LE L"),
        ("vgg-a-pif", "CEMD CEMD CE CE PE F LE L"),
        ("vgg-b-pif", "CEMD CEMD CE PE F LE L"),
        ("gap3", "CRM CRM CRM AFL"),
        ("gap6", "CRM CRM CRM CRM CRM CRM AFL"),
        ("patch", "CEMD CEMD CEMD CED CED C AF"),
    ],
)
def test_order_of_layers(name: str, order: str) -> None:
    assert kinds(network(name)) == list(order.replace(" ", ""))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("boehle", [0.4, 0.4]),
        ("rieke", [0.8]),
        ("sixtyfour", [0.3] * 3),
        ("vgg-a", [0.3] * 3),
        ("vgg-b-pif", [0.3] * 2),
        ("patch", [0.1, 0.1, 0.1, 0.2, 0.4]),
    ],
)
def test_dropout(name: str, expected: list[float]) -> None:
    layers = network(name).layers
    drops = [layer.p for layer in layers if isinstance(layer, nn.Dropout | nn.Dropout3d)]
    assert drops == expected


@pytest.mark.parametrize("name", MODELS)
def test_only_the_3rd_and_4th_convolution_of_sixtyfour_have_a_penalty(name: str) -> None:
    model = network(name)
    convolutions = [key for key, layer in model.named_modules() if isinstance(layer, nn.Conv3d)]
    expected = dict.fromkeys(convolutions[2:], 0.01) if name == "sixtyfour" else {}
    assert model.l2 == expected
    assert all(hasattr(model.get_submodule(key), "weight") for key in model.l2)


def test_gap_takes_any_number_of_blocks() -> None:
    model = on_meta("gap", (16, 17, 19), n_blocks=4, width=3)
    assert [g[0] for g in grids(model)] == [3, 3, 6, 6, 12, 12, 24, 24, 24]
    with pytest.raises(UsageError, match="at least 16 voxels on every axis"):
        on_meta("gap", (16, 15, 19), n_blocks=4)


def test_the_misprint_of_eitel_and_ritter_is_an_option() -> None:
    model = on_meta("boehle", (193, 229, 193), filters=(8, 16, 31, 64))
    fewer = 27 * 16 + 1 + 2 + 27 * 64
    assert n_parameters(model) == 728_898 - fewer


def test_options_are_the_keywords_of_the_class() -> None:
    assert network_options("graz") == {}
    assert network_options("boehle") == {"filters": (8, 16, 32, 64), "dropout": 0.4}
    assert list(network_options("gap6")) == ["width"]
    assert list(network_options("vgg-a-pif"))[-2:] == ["patch", "pif_filters"]


def test_unknown_names_and_options_are_refused_with_what_is_allowed() -> None:
    with pytest.raises(UsageError, match=r"'resnet'.*graz, boehle, .*patch"):
        build("resnet", (80, 80, 80))
    with pytest.raises(UsageError, match=r"'boehle' has no option depth.*use filters, dropout"):
        build("boehle", (80, 80, 80), depth=3)
    with pytest.raises(UsageError, match=r"has no option filters.*no option"):
        build("graz", (80, 80, 80), filters=(8,))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("boehle", {"filters": (8, 16, 32)}, "give 4 whole numbers"),
        ("boehle", {"filters": (8, 16, 32, 0)}, "filters is 0"),
        ("boehle", {"filters": "8888"}, "filters is '8888'"),
        ("rieke", {"dropout": 1}, "dropout is 1"),
        ("sixtyfour", {"dropout": -0.1}, "dropout is -0.1"),
        ("vgg-a", {"hidden": 2.5}, "hidden is 2.5"),
        ("vgg-b", {"second_stride": 0}, "second_stride is 0"),
        ("vgg-a-pif", {"patch": (5, 5)}, r"patch is \(5, 5\)"),
        ("vgg-b-pif", {"pif_filters": True}, "pif_filters is True"),
        ("gap", {"n_blocks": 0}, "n_blocks is 0"),
        ("patch", {"dropout": 0.6}, "dropout is 1.2"),
        ("patch", {"head_dropout": "much"}, "head_dropout is 'much'"),
    ],
)
def test_values_that_cannot_be_are_refused(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        on_meta(name, (120, 121, 122), **options)


@pytest.mark.parametrize(
    "wrong",
    [{"input_shape": (80, 80)}, {"n_classes": 1}, {"channels": 0}, {"input_shape": (80, 80, 0)}],
)
def test_impossible_requests_are_refused(wrong: dict[str, Any]) -> None:
    request: dict[str, Any] = {"input_shape": (80, 80, 80)} | wrong
    with pytest.raises(UsageError, match="cannot be built"):
        build("rieke", **request)


def test_every_network_has_its_numbers_here_and_in_the_documentation() -> None:
    assert list(SMALLEST) == list(MODELS)
    assert list(PARAMETERS) == list(MODELS)
    page = Path(__file__).parents[3] / "docs" / "networks.md"
    rows = re.findall(r"^\| `([\w-]+)` \|(.*)\|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert [name for name, _ in rows] == list(MODELS)
    for name, cells in rows:
        _, count, volume, least = [cell.strip() for cell in cells.split("|")[:4]]
        shape, parameters = PARAMETERS[name]
        assert int(count.replace(" ", "")) == parameters
        assert volume == " × ".join(map(str, shape))
        assert least == " × ".join(map(str, SMALLEST[name]))
