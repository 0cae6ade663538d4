"""What all figures share: colours that colour-blind readers can tell apart, type sizes, bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe and Ito's palette without its yellow (too pale on white); black comes last
PALETTE = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#7F3C8D",
    "#8C6D31",
)
LINES = ("-", "--", "-.", ":")
NEGATIVE, POSITIVE = PALETTE[0], PALETTE[1]
GREY = "#595959"  # 7:1 on white
DPI = 110

_RC = {
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.labelsize": 10.0,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "legend.fontsize": 9.0,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#D9D9D9",
    "grid.linewidth": 0.6,
    "svg.fonttype": "path",
    "svg.hashsalt": "bids_xai",
}


@contextmanager
def house_style() -> Iterator[None]:
    """Draw with our settings, whatever the user's ``matplotlibrc`` says; also a decorator."""
    with matplotlib.style.context(["default", _RC]):
        yield


def blank(width_in: float, height_in: float) -> Figure:
    """Return an empty figure of the given size in inches, without pyplot."""
    figure = Figure(figsize=(width_in, height_in), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def grid_of(
    columns: int, rows: int = 1, *, width_in: float, height_in: float, shared: bool = True
) -> tuple[Figure, Any]:
    """Return a figure and its axes (rows, columns), with room made for all labels.

    width_in, height_in : of one panel; shared : one scale for each line of panels
    """
    share: Literal["row", "none"] = "row" if shared else "none"
    figure = blank(max(width_in * columns, width_in + 1.0), height_in * rows)
    figure.set_layout_engine("constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, sharex=share, sharey=share)


def empty_panel(axes: Axes, text: str) -> None:
    """Say inside an axes why nothing is drawn there."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY)


def to_png(figure: Figure) -> bytes:
    """Return the figure as PNG without date or version."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def to_svg(figure: Figure) -> bytes:
    """Return the figure as SVG without date or version; text is drawn, no font is needed."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
