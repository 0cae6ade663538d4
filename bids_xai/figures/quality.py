"""One figure of quality over all sessions: points, box, limits, names of those that stand out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from bids_xai.arrays import Bools, Floats
from bids_xai.figures.style import GREY, PALETTE, blank, empty_panel, house_style, to_png

_WIDTH_IN = 9.6
_ROW_IN = 1.35
_LEFT, _RIGHT = 0.03, 0.97  # of the width
_AXES_IN = (0.36, 0.62)  # bottom and height within a row
_LETTER_IN = 0.068  # mean width at the size of the names
_NAME_SIZE = 8
_MOST_NAMES = 10
_LEVELS = (0.62, 0.95)  # heights of names, in data units of the row
_GOLDEN = 0.6180339887
_PAD = 0.06
_BEYOND = "#FBE3D0"


@dataclass(frozen=True)
class Strip:
    """A figure of quality of n sessions.

    values : (n,) any unit, not finite = missing; names : of the sessions
    marked : (n,) those to name; low, high : limits, infinite where there is none
    """

    label: str
    values: Floats
    names: Sequence[str]
    marked: Bools
    low: float = -math.inf
    high: float = math.inf


@house_style()
def metric_strips(strips: Sequence[Strip]) -> bytes:
    """Draw a line a figure, each on its own scale; the size depends on their number only.

    Grey box: quartiles and median of the finite values; coloured ground: beyond a limit. Of the
    marked ones, ten at most are named: those that lie farthest from the median.
    """
    height = _ROW_IN * len(strips)
    figure = blank(_WIDTH_IN, height)
    for row, strip in enumerate(strips):
        bottom = (height - (row + 1) * _ROW_IN + _AXES_IN[0]) / height
        axes = figure.add_axes((_LEFT, bottom, _RIGHT - _LEFT, _AXES_IN[1] / height))
        _draw(axes, strip)
    return to_png(figure)


def _draw(axes: Axes, strip: Strip) -> None:
    finite = np.isfinite(strip.values)
    values = strip.values[finite]
    axes.set(ylim=(-0.5, 1.2), yticks=[])
    axes.spines["left"].set_visible(False)
    axes.set_title(_heading(strip, int((~finite).sum())), loc="left", fontsize=10)
    if not values.size:
        axes.set_xticks([])
        empty_panel(axes, "defined for no session")
        return
    axes.set_xlim(*_window(values, strip))
    _ground(axes, strip)
    marked = strip.marked[finite]
    heights = _jitter(values.size)
    _box(axes, values)
    style: dict[str, Any] = {"s": 16.0, "linewidths": 0.0, "zorder": 3.0, "clip_on": False}
    alpha = 0.7 if values.size <= 200 else 0.3
    axes.scatter(values[~marked], heights[~marked], color=PALETTE[0], alpha=alpha, **style)
    axes.scatter(values[marked], heights[marked], color=PALETTE[1], marker="D", **style)
    names = [name for name, is_finite in zip(strip.names, finite, strict=True) if is_finite]
    _name(axes, values, heights, marked, names)


def _heading(strip: Strip, missing: int) -> str:
    low, high = strip.low, strip.high
    parts = [strip.label]
    if math.isfinite(low) and math.isfinite(high):
        parts.append(f"limits {low:g} and {high:g}")
    elif math.isfinite(low) or math.isfinite(high):
        parts.append(f"at least {low:g}" if math.isfinite(low) else f"at most {high:g}")
    if missing:
        parts.append(f"undefined or missing for {missing}")
    return "  ·  ".join(parts)


def _window(values: Floats, strip: Strip) -> tuple[float, float]:
    """From the smallest to the largest value, and to a limit that is not far off."""
    low, high = float(values.min()), float(values.max())
    span = high - low
    low = strip.low if low - span < strip.low < low else low
    high = strip.high if high < strip.high < high + span else high
    pad = _PAD * (high - low) or 0.05 * abs(high) or 0.5
    return low - pad, high + pad


def _ground(axes: Axes, strip: Strip) -> None:
    left, right = axes.get_xlim()
    for start, stop in ((left, min(strip.low, right)), (max(strip.high, left), right)):
        if stop > start:
            axes.axvspan(start, stop, color=_BEYOND, lw=0, zorder=0)
    for limit in (strip.low, strip.high):
        if left <= limit <= right:
            axes.axvline(limit, color=PALETTE[1], lw=1.2, ls="--", zorder=1)


def _box(axes: Axes, values: Floats) -> None:
    first, median, third = np.percentile(values, [25, 50, 75])
    axes.barh(0, third - first, 0.78, left=first, color="#E3E3E3", edgecolor=GREY, lw=0.8, zorder=1)
    axes.plot([median, median], [-0.39, 0.39], color=GREY, lw=1.8, zorder=2)


def _jitter(n: int) -> Floats:
    """Return heights (n,) between -0.3 and 0.3, spread evenly and always the same."""
    heights: Floats = 0.6 * ((np.arange(n) * _GOLDEN) % 1.0) - 0.3
    return heights


def _name(axes: Axes, values: Floats, heights: Floats, marked: Bools, names: Sequence[str]) -> None:
    """Write names over the marked points, leaving out those for which there is no room."""
    far = np.abs(values - np.median(values))
    outliers = [int(i) for i in np.argsort(-far, kind="stable") if marked[i]][:_MOST_NAMES]
    left, right = axes.get_xlim()
    scale = _WIDTH_IN * (_RIGHT - _LEFT) / (right - left)  # inches a unit
    taken: list[tuple[int, float, float]] = []
    for index in outliers:
        half = _LETTER_IN * len(names[index]) / 2
        centre = (values[index] - left) * scale
        centre = min(max(centre, half), (right - left) * scale - half)
        level = _free_level(taken, centre - half, centre + half)
        if level is None:
            continue
        taken.append((level, centre - half, centre + half))
        axes.annotate(
            names[index],
            (values[index], heights[index]),
            (left + centre / scale, _LEVELS[level]),
            fontsize=_NAME_SIZE,
            ha="center",
            va="center",
            arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.6, "shrinkA": 0, "shrinkB": 3},
            annotation_clip=False,
        )


def _free_level(taken: Sequence[tuple[int, float, float]], start: float, stop: float) -> int | None:
    for level in range(len(_LEVELS)):
        if all(stop + 0.06 < a or start - 0.06 > b for at, a, b in taken if at == level):
            return level
    return None
