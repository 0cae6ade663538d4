"""Panels in lines of three at most, as charts of several configurations have them."""

from __future__ import annotations

import textwrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from bids_xai.arrays import Floats
from bids_xai.figures.style import grid_of

_MOST_COLUMNS = 3
_ROW_GAP_IN = 0.12

Curve = tuple[Floats, Floats]
"""What is drawn over what: x and y, (n,) each."""

PANEL_IN = (3.4, 3.0)
TITLE_LETTERS = 30
OVER_LINES: Any = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85}
"""Box of a text that stands on lines."""


def panels_in_lines(
    n: int, *, extra_in: float = 0.0, wide_in: float = 0.0
) -> tuple[Figure, list[Axes]]:
    """Return a figure with ``n`` panels in lines of three at most, evenly filled.

    extra_in, wide_in : height and width of a panel beyond the usual
    """
    rows = -(-n // _MOST_COLUMNS)
    columns = -(-n // rows)
    width, height = PANEL_IN[0] + wide_in, PANEL_IN[1] + extra_in
    figure, grid = grid_of(columns, rows, width_in=width, height_in=height)
    engine = figure.get_layout_engine()
    if rows > 1 and isinstance(engine, ConstrainedLayoutEngine):
        engine.set(h_pad=_ROW_GAP_IN)
    for axes in grid.flat[n:]:
        axes.set_axis_off()
    return figure, list(grid.flat[:n])


def leads_line(axes: Axes) -> bool:
    """Whether it is the first panel of its line."""
    subplot = axes.get_subplotspec()
    return subplot is None or subplot.is_first_col()


def wrapped(text: str, letters: int = TITLE_LETTERS) -> str:
    """Return a text in lines of so many letters at most."""
    return textwrap.fill(text, letters)
