"""Charts that tell whether heatmaps can be trusted, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bids_xai.arrays import Floats
from bids_xai.figures.panels import leads_line
from bids_xai.figures.style import GREY, PALETTE, grid_of, house_style, to_svg

_PANEL_IN = (3.4, 2.9)
_MOST_COLUMNS = 3
_ORDERS = {
    "morf": ("most relevant first", PALETTE[1], "-"),
    "random": ("random order", GREY, "--"),
    "lerf": ("least relevant first", PALETTE[0], "-."),
}
_MEASURES = {
    "ssim": ("structural similarity", PALETTE[0], "s"),
    "spearman": ("rank correlation", PALETTE[2], "^"),
    "spearman_abs": ("rank correlation, absolute values", PALETTE[1], "o"),
}
_LAYER_IN = 0.24
_LAYERS_IN_A_PANEL = 9


@dataclass(frozen=True)
class Band:
    """A mean curve (m,) and the ends of its interval, both (m,)."""

    mean: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class LayerLikeness:
    """Likeness of heatmaps to the original while layers are random.

    layers : (n,) names, next to the output first
    cascading, independent : measure → (n,) values, 1 for equal maps; not finite = not defined
    """

    layers: Sequence[str]
    cascading: Mapping[str, Floats]
    independent: Mapping[str, Floats] = field(default_factory=dict)


@house_style()
def perturbation_curves(panels: Mapping[str, Mapping[str, Band]], steps: str = "steps") -> bytes:
    """Draw AOPC over steps with its band, one panel a title.

    panels : title → order (``morf``, ``random``, ``lerf``) → band over steps 0, 1, …
    steps : label of the lower axis
    """
    figure, drawn = _panels(len(panels), _PANEL_IN[0])
    for axes, (title, bands) in zip(drawn, panels.items(), strict=True):
        for order, band in bands.items():
            label, colour, line = _ORDERS[order]
            x = np.arange(len(band.mean))
            axes.fill_between(x, band.low, band.high, color=colour, alpha=0.18, lw=0)
            axes.plot(x, band.mean, color=colour, ls=line, lw=1.9, label=label)
        axes.axhline(0.0, color=GREY, lw=0.8)
        axes.set(title=title, xlabel=steps)
        if leads_line(axes):
            axes.set_ylabel("AOPC")
    _legend(figure, drawn)
    return to_svg(figure)


@house_style()
def randomization_curves(panels: Mapping[str, LayerLikeness], limit: float) -> bytes:
    """Draw the likeness of heatmaps to the original over layers made random, one panel a title.

    Filled marks and lines: all layers down to this one are random; hollow marks: this one alone.
    limit : a method whose maps stay above it with all layers random fails
    """
    most = max(len(panel.layers) for panel in panels.values())
    width = _PANEL_IN[0] + max(0, most - _LAYERS_IN_A_PANEL) * _LAYER_IN
    figure, drawn = _panels(len(panels), width, extra_in=0.9)
    for axes, (title, panel) in zip(drawn, panels.items(), strict=True):
        x = np.arange(len(panel.layers) + 1)
        for name, (label, colour, mark) in _MEASURES.items():
            values = np.append(1.0, panel.cascading[name])
            axes.plot(x, values, color=colour, marker=mark, ms=5, lw=1.6, label=label)
            if name in panel.independent:
                axes.plot(x[1:], panel.independent[name], mark, mfc="white", mec=colour, ms=5)
        axes.axhline(limit, color=GREY, lw=1.0, ls=":")
        axes.axhline(0.0, color=GREY, lw=0.8)
        axes.set_xticks(x, ["none", *panel.layers], rotation=60, ha="right", rotation_mode="anchor")
        axes.set(title=title, ylim=(-1.05 if _negative(panel) else -0.3, 1.05))
        if leads_line(axes):
            axes.set_ylabel("similarity to the original")
    _legend(figure, drawn)
    return to_svg(figure)


def _legend(figure: Figure, drawn: Sequence[Axes]) -> None:
    """One line above several panels, a column above one, which is too narrow for a line."""
    columns = 3 if len(drawn) > 1 else 1
    figure.legend(*drawn[0].get_legend_handles_labels(), loc="outside upper center", ncols=columns)


def _negative(panel: LayerLikeness) -> bool:
    """Whether some value would fall out of a panel that ends at -0.3."""
    values = [*panel.cascading.values(), *panel.independent.values()]
    return bool(np.nanmin(np.concatenate([[0.0], *values])) < -0.28)


def _panels(n: int, width_in: float, extra_in: float = 0.0) -> tuple[Figure, list[Axes]]:
    """Return a figure with ``n`` panels in lines of three at most, all on one scale."""
    rows = -(-n // _MOST_COLUMNS)
    columns = -(-n // rows)
    height = _PANEL_IN[1] + extra_in + (0.5 if rows == 1 else 0.0)
    figure, grid = grid_of(columns, rows, width_in=width_in, height_in=height, shared=False)
    drawn = list(grid.flat[:n])
    for axes in drawn[1:]:
        axes.sharey(drawn[0])
    for axes in grid.flat[n:]:
        axes.set_axis_off()
    return figure, drawn
