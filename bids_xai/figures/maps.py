"""A quantitative map with its colour bar and the histogram of the brain."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from bids_xai.arrays import Bools, Floats
from bids_xai.figures.cuts import AXES, planes
from bids_xai.figures.scene import Row, Scene
from bids_xai.figures.sheet import Sheet, draw_sheet
from bids_xai.figures.style import GREY, PALETTE, house_style, to_png

_HISTOGRAM_IN = 4.0
_BINS = 60
_NOISE = 0.05  # negative values this small against the positive ones are no sign of the quantity


def value_window(values: Floats) -> tuple[float, float]:
    """Return the values to draw black and white: round numbers, whatever the unit.

    0 and the 99.5th percentile rounded up (50 or so for R2* in 1/s of a brain at 3 T); as far
    below 0 as above for a quantity with a sign, such as susceptibility.

    values : those inside the brain, any shape
    """
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, [0.5, 99.5]) if finite.size else (0.0, 0.0)
    signed = bool(low < -_NOISE * max(high, 0.0))
    end = _rounded_up(float(max(high, -low) if signed else high))
    return (-end, end) if signed else (0.0, end)


def _rounded_up(value: float) -> float:
    """The next number with one digit that counts (two between 1 and 2: 1.5 or 2); 1 for 0."""
    if not value > 0:
        return 1.0
    unit = 10.0 ** np.floor(np.log10(value))
    step = unit / 2 if value < 2 * unit else unit
    return float(np.ceil(round(value / step, 6)) * step)


@house_style()
def map_with_histogram(
    values: Floats,
    voxel_mm: tuple[float, ...],
    mask: Bools,
    *,
    window: tuple[float, float] | None = None,
    label: str = "R2* (1/s)",
    counted: str = "voxels in the brain mask",
    limit: float | None = None,
    slices: int = 5,
    title: str = "",
) -> bytes:
    """Draw a map in grey with a bar in its unit, and the histogram of the masked voxels.

    values : (x, y, z) in RAS order; mask : what is counted, on the same grid
    window : drawn black and white; default :func:`value_window` of the masked voxels
    counted : what the mask is; limit : the largest median that needs no look, drawn as a line
    """
    inside = values[mask & np.isfinite(values)]
    window = window or value_window(inside)
    scene = Scene(values, window, voxel_mm)
    extent = mask if mask.any() else np.ones_like(mask)
    rows = [Row(planes(extent, [plane], slices)) for plane in AXES]
    sheet = draw_sheet(scene, rows, title=title, right_in=_HISTOGRAM_IN)
    axes = _bar_and_axes(sheet, window, label)
    axes.set_ylabel(counted)
    if limit is not None and window[0] < limit <= window[1]:
        axes.axvline(limit, color=GREY, lw=1.5, ls=":", label=f"limit of the median, {limit:g}")
        axes.legend(loc="upper right")
    _histogram(axes, inside, window)
    return to_png(sheet.figure)


def _bar_and_axes(sheet: Sheet, window: tuple[float, float], label: str) -> Axes:
    """Put the grey bar under the histogram, so that both share the axis of values."""
    left, bottom, width, height = sheet.free
    axes = sheet.figure.add_axes((left, bottom + 0.05, width, height - 0.05))
    bar_axes = sheet.figure.add_axes((left, bottom, width, 0.035))
    sheet.figure.colorbar(
        ScalarMappable(Normalize(*window), "gray"),
        cax=bar_axes,
        orientation="horizontal",
        label=label,
    )
    axes.tick_params(labelbottom=False)
    return axes


def _histogram(axes: Axes, inside: Floats, window: tuple[float, float]) -> None:
    axes.hist(inside, bins=_BINS, range=window, color=PALETTE[0])
    axes.set_xlim(*window)
    if not inside.size:
        axes.set_title("the mask is empty", fontsize=9)
        return
    low, median, high = np.percentile(inside, [25, 50, 75])
    beyond = 100.0 * float(np.mean(inside > window[1]))
    axes.axvline(median, color=PALETTE[1], lw=1.5)
    axes.set_title(
        f"median {median:.3g} (quartiles {low:.3g} to {high:.3g})\n"
        f"{beyond:.1f} % of the voxels above {window[1]:.3g}",
        fontsize=9,
        color=GREY,
    )
