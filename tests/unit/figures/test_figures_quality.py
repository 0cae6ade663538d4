"""Strips of quality figures: what is drawn where, and how large it may become."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from matplotlib import image as mpl_image

from bids_xai.figures import quality
from bids_xai.figures.quality import Strip, metric_strips


def strip(values: np.ndarray, marked: np.ndarray, low: float = -math.inf) -> Strip:
    names = [f"sub-{i:02d}" for i in range(values.size)]
    return Strip("MaskDice", values, names, marked, low=low)


def pixels(png: bytes) -> np.ndarray:
    return mpl_image.imread(io.BytesIO(png), format="png")[..., :3]


def columns_of(rgb: np.ndarray, colour: str, tolerance: float = 0.02) -> np.ndarray:
    """Horizontal positions, 0 to 1, of the pixels of a colour."""
    wanted = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.nonzero(np.abs(rgb - wanted).max(axis=2) < tolerance)[1] / rgb.shape[1]


@pytest.fixture
def dice() -> Strip:
    values = np.concatenate([[0.71], np.linspace(0.92, 0.98, 20)])
    return strip(values, values < 0.9, low=0.9)


def test_what_is_beyond_the_limit_lies_on_the_coloured_ground(dice: Strip) -> None:
    rgb = pixels(metric_strips([dice]))
    ground, marked = columns_of(rgb, quality._BEYOND), columns_of(rgb, quality.PALETTE[1])
    others = np.nonzero(rgb[..., 2] - rgb[..., 0] > 0.2)[1] / rgb.shape[1]  # blue, half opaque
    assert ground.min() < marked.min() < ground.max() <= others.min()
    assert marked.min() == pytest.approx(0.08, abs=0.03)  # the smallest value, at the left end


def test_only_the_marked_are_named(dice: Strip, monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[str] = []
    original = quality.Axes.annotate

    def annotate(axes: object, text: str, *args: object, **options: object) -> object:
        named.append(text)
        return original(axes, text, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(quality.Axes, "annotate", annotate)
    metric_strips([dice])
    assert named == ["sub-00"]
    named.clear()
    rng = np.random.default_rng(0)
    metric_strips([strip(rng.normal(size=300), np.ones(300, bool))])
    assert 2 <= len(named) <= 10


def test_names_do_not_overlap() -> None:
    taken = [(0, 0.0, 1.0)]
    assert quality._free_level(taken, 0.5, 1.5) == 1
    assert quality._free_level([*taken, (1, 0.0, 1.0)], 0.5, 1.5) is None
    assert quality._free_level(taken, 1.2, 2.0) == 0


def test_the_size_depends_on_the_number_of_figures_only() -> None:
    rng = np.random.default_rng(0)
    few = strip(rng.normal(size=3), np.zeros(3, bool))
    many = strip(rng.normal(size=5000), np.ones(5000, bool))
    sizes = [pixels(metric_strips([one, one])).shape for one in (few, many)]
    assert sizes[0] == sizes[1]
    assert len(metric_strips([many])) < 300_000


@pytest.mark.parametrize(
    "values", [np.full(3, np.nan), np.zeros(4), np.array([1e9, np.nan]), np.array([])]
)
def test_values_without_spread_are_drawn_without_complaint(values: np.ndarray) -> None:
    one = strip(values, np.ones(values.size, bool), low=0.5)
    assert metric_strips([one]).startswith(b"\x89PNG")


def test_equal_values_give_equal_bytes(dice: Strip) -> None:
    assert metric_strips([dice]) == metric_strips([dice])
