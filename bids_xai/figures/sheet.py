"""Sheets of brain slices in radiological convention: where to put the slices, how to draw them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bids_xai.figures.cuts import AXES, panel
from bids_xai.figures.scene import CONVENTION, Overlay, Row, Scene, cropped
from bids_xai.figures.style import GREY, blank

Box = tuple[float, float, float, float]

OUTLINE_COLOURS = ("#F0E442", "#56B4E9", "#E69F00", "#CC79A7")  # bright ones, for grey pictures

_SHEET_IN = 9.2  # width of all slices together
_WIDEST_CELL_IN = 2.3
_TALLEST_CELL_IN = 3.4  # of a slab that is far higher than wide
_GAP_IN = 0.04
_LEFT_IN, _TOP_IN, _BOTTOM_IN, _BAR_IN = 0.1, 0.5, 0.42, 1.05
_ROW_LABEL_IN = 1.2
_LONGEST_BAR_IN = 3.6


@dataclass(frozen=True)
class Sheet:
    """A drawn figure, and the free box (left, bottom, width, height; 0 to 1) on its right."""

    figure: Figure
    free: Box


def draw_sheet(
    scene: Scene, rows: Sequence[Row], *, title: str, bar_label: str = "", right_in: float = 0.0
) -> Sheet:
    """Draw lines of slices with title, convention, colour bar (where a row has an overlay).

    right_in : width in inches that is kept free on the right.
    """
    scene, rows = cropped(scene, rows)
    layout = _layout(scene, rows)
    left = _LEFT_IN + (_ROW_LABEL_IN if any(row.label for row in rows) else 0.0)
    overlay = next((row.overlay for row in rows if row.overlay), None)
    slices_in = left + max(len(row.cuts) for row in rows) * (layout.cell_in + _GAP_IN)
    width = slices_in + (_BAR_IN if overlay else 0.1) + right_in
    height = sum(layout.heights) + _GAP_IN * len(rows) + _TOP_IN + _BOTTOM_IN
    figure = blank(width, height)
    canvas, top = _canvas(figure), height - _TOP_IN
    for row, row_in in zip(rows, layout.heights, strict=True):
        _draw_row(canvas, scene, row, (left, top), layout, row_in)
        top -= row_in + _GAP_IN
    _caption(figure, scene, title)
    if overlay:
        high = min(height - _TOP_IN - _BOTTOM_IN - 0.2, _LONGEST_BAR_IN)
        box = (slices_in + 0.1, height - _TOP_IN - 0.1 - high, 0.16, high)
        _colour_bar(figure, box, overlay.norm, overlay.colours, bar_label)
    free = (1 - (right_in - 0.65) / width, 0.75 / height, (right_in - 0.8) / width)
    return Sheet(figure, (*free, (height - _TOP_IN - 0.85) / height))


def _size_mm(scene: Scene, plane: str) -> tuple[float, float]:
    """Width and height of a slice."""
    across, up = (a for a in range(3) if a != AXES[plane])
    edges = [n * v for n, v in zip(scene.background.shape, scene.voxel_mm, strict=True)]
    return edges[across], edges[up]


@dataclass(frozen=True)
class _Layout:
    """Inches a mm, width of a cell and height of every line in inches."""

    scale: float
    cell_in: float
    heights: tuple[float, ...]


def _layout(scene: Scene, rows: Sequence[Row]) -> _Layout:
    """One scale for all planes, so that sizes can be compared; cells are bounded both ways."""
    sizes = [_size_mm(scene, plane) for row in rows for plane, _ in row.cuts]
    cell_in = min(_SHEET_IN / max(len(row.cuts) for row in rows), _WIDEST_CELL_IN)
    scale = min(cell_in / max(w for w, _ in sizes), _TALLEST_CELL_IN / max(h for _, h in sizes))
    heights = [max(_size_mm(scene, plane)[1] for plane, _ in row.cuts) * scale for row in rows]
    return _Layout(scale, cell_in, tuple(heights))


def _canvas(figure: Figure) -> Axes:
    """Return one axes over the whole figure, in inches from the lower left corner."""
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_autoscale_on(False)
    width, height = figure.get_size_inches()
    axes.set(xlim=(0.0, width), ylim=(0.0, height))
    return axes


def _draw_row(
    axes: Axes, scene: Scene, row: Row, corner: tuple[float, float], layout: _Layout, height: float
) -> None:
    """Draw a line of slices; corner : left and top in inches; height : of the line."""
    left, top = corner
    for column, (plane, index) in enumerate(row.cuts):
        wide, high = (mm * layout.scale for mm in _size_mm(scene, plane))
        x = left + column * (layout.cell_in + _GAP_IN) + (layout.cell_in - wide) / 2
        y = top - (height + high) / 2
        box = (x, x + wide, y, y + high)
        _draw_slice(axes, scene, row.overlay, plane, index, box)
        _letters(axes, scene, plane, index, box)
    if row.label:
        axes.text(left - 0.1, top - height / 2, row.label, ha="right", va="center")


def _draw_slice(
    axes: Axes, scene: Scene, overlay: Overlay | None, plane: str, index: int, box: Box
) -> None:
    """Draw one slice into a box (left, right, bottom, top) of the canvas."""
    where: dict[str, Any] = {"extent": box, "aspect": "auto", "interpolation": "nearest"}
    low, high = scene.window
    grey = np.nan_to_num(panel(scene.background, plane, index))
    axes.imshow(grey, cmap="gray", vmin=low, vmax=high, **where)
    if overlay:
        values = panel(overlay.values, plane, index)
        values = np.where(panel(overlay.shown, plane, index), values, np.nan)
        axes.imshow(values, cmap=overlay.colours, norm=overlay.norm, **where)
    for mask, colour in zip(scene.outlines, OUTLINE_COLOURS, strict=False):
        cut = panel(mask, plane, index)
        if cut.any() and not cut.all():
            axes.contour(
                cut.astype(float),
                levels=[0.5],
                colors=[colour],
                linewidths=1.0,
                extent=box,
                origin="upper",
            )


def _letters(axes: Axes, scene: Scene, plane: str, index: int, box: Box) -> None:
    left, right, bottom, top = box
    sides = ("A", "P") if plane == "sagittal" else ("R", "L")
    ground = {"facecolor": "black", "edgecolor": "none", "alpha": 0.75, "pad": 1.0}  # over noise
    style: dict[str, Any] = {"color": "white", "fontsize": 9, "fontweight": "bold", "bbox": ground}
    axes.text(left + 0.04, top - 0.04, sides[0], ha="left", va="top", **style)
    axes.text(right - 0.04, top - 0.04, sides[1], ha="right", va="top", **style)
    if scene.origin_mm:
        axis = AXES[plane]
        mm = scene.origin_mm[axis] + index * scene.voxel_mm[axis]
        axes.text(left + 0.04, bottom + 0.03, f"{'xyz'[axis]} {mm:.0f}", va="bottom", **style)


def _caption(figure: Figure, scene: Scene, title: str) -> None:
    width, height = figure.get_size_inches()
    figure.text(_LEFT_IN / width, 1 - 0.16 / height, title, fontsize=11, va="top")
    text = f"{CONVENTION} {_grey_words(scene)}"
    figure.text(_LEFT_IN / width, 0.12 / height, text, fontsize=9, color=GREY, va="bottom")
    if scene.outline_labels:
        lines = [Line2D([], [], color=colour, lw=2) for colour in OUTLINE_COLOURS]
        legend = figure.legend(
            lines[: len(scene.outline_labels)],
            list(scene.outline_labels),
            loc="upper right",
            bbox_to_anchor=(1.0, 1.0),
            ncols=4,
            frameon=True,
            labelcolor="white",
        )
        legend.get_frame().set(facecolor="#262626", edgecolor="none")


def _grey_words(scene: Scene) -> str:
    """The values drawn black and white; nothing where the background is empty."""
    low, high = scene.window
    return f"Grey: {low:.4g} (black) to {high:.4g} (white)." if scene.background.any() else ""


def _colour_bar(
    figure: Figure, box_in: Box, norm: Normalize, colours: Colormap, label: str
) -> None:
    width, height = figure.get_size_inches()
    left, bottom, wide, high = box_in
    axes = figure.add_axes((left / width, bottom / height, wide / width, high / height))
    bar = figure.colorbar(ScalarMappable(norm, colours), cax=axes)
    bar.set_label(label)
    bar.formatter.set_powerlimits((-3, 4))  # type: ignore[attr-defined]
