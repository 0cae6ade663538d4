"""A quantitative map with its colour bar and the histogram of the brain."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from bids_xai.figures.scene import AXES, Row, Scene, Sheet, draw_sheet, planes
from bids_xai.figures.style import GREY, PALETTE, Bools, Floats, house_style, to_png

_HISTOGRAM_IN = 4.0
_STEP = 10.0  # the window ends at a multiple of it
_BINS = 60


def value_window(values: Floats) -> tuple[float, float]:
    """Return 0 and the 99.5th percentile rounded up to ten (50 or so for R2* of a brain at 3 T).

    values : those inside the brain, any shape
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, _STEP
    return 0.0, max(_STEP, float(np.ceil(np.percentile(finite, 99.5) / _STEP) * _STEP))


@house_style()
def map_with_histogram(
    values: Floats,
    voxel_mm: tuple[float, ...],
    mask: Bools,
    *,
    window: tuple[float, float] | None = None,
    label: str = "R2* (1/s)",
    slices: int = 5,
    title: str = "",
) -> bytes:
    """Draw a map in grey with a bar in its unit, and the histogram of the masked voxels.

    values : (x, y, z) in RAS order; mask : the brain on the same grid
    window : drawn black and white; default :func:`value_window` of the masked voxels
    """
    inside = values[mask & np.isfinite(values)]
    window = window or value_window(inside)
    scene = Scene(values, window, voxel_mm)
    extent = mask if mask.any() else np.ones_like(mask)
    rows = [Row(planes(extent, [plane], slices)) for plane in AXES]
    sheet = draw_sheet(scene, rows, title=title, right_in=_HISTOGRAM_IN)
    _histogram(_bar_and_axes(sheet, window, label), inside, window, label)
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


def _histogram(axes: Axes, inside: Floats, window: tuple[float, float], label: str) -> None:
    axes.hist(inside, bins=_BINS, range=window, color=PALETTE[0])
    axes.set_xlim(*window)
    axes.set_ylabel("voxels in the brain mask")
    if not inside.size:
        axes.set_title("the mask is empty", fontsize=9)
        return
    low, median, high = np.percentile(inside, [25, 50, 75])
    beyond = 100.0 * float(np.mean(inside > window[1]))
    axes.axvline(median, color=PALETTE[1], lw=1.5)
    axes.set_title(
        f"median {median:.1f} (quartiles {low:.1f} to {high:.1f})\n"
        f"{beyond:.1f} % of the voxels above {window[1]:g}",
        fontsize=9,
        color=GREY,
    )
