"""Relevance by brain region, as SVG."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from bids_xai.arrays import Floats
from bids_xai.figures.style import GREY, NEGATIVE, PALETTE, POSITIVE, grid_of, house_style, to_svg

_BAR = 0.38
_HALF = 0.44  # height of a density in rows
_POINTS = 120
_FEWEST = 8  # values of a density; fewer are drawn one by one
_DARK = 0.64  # share from which white letters stand out more than black ones
_LETTERS = 34
_SQUARE_IN = 0.42
_INDIVIDUALS = (("A", PALETTE[2], "-"), ("B", PALETTE[6], "--"))


@dataclass(frozen=True)
class RegionDensity:
    """Mean relevance per voxel in each region, (n_regions,) for either class, first region on top.

    gain : (n_regions,) written beside the bars, NaN for none; not at all where left out
    """

    regions: Sequence[str]
    negative: Floats
    positive: Floats
    gain: Floats | None = None


@dataclass(frozen=True)
class RegionPanel:
    """Relevance of single scans in each region, first region on top.

    negative, positive : one array of values a region, of either class
    individuals : name (A, B) → (n_regions,) values of one scan, drawn as a line
    """

    regions: Sequence[str]
    negative: Sequence[Floats]
    positive: Sequence[Floats]
    individuals: Mapping[str, Floats]


@house_style()
def region_bars(
    panels: Mapping[str, RegionDensity],
    classes: tuple[str, str],
    label: str = "relevance per voxel",
) -> bytes:
    """Draw two bars a region (negative, positive class), one panel a configuration.

    panels : configuration → densities; panels stand above one another, on one scale
    """
    most = max(len(panel.regions) for panel in panels.values())
    figure, grid = grid_of(1, len(panels), width_in=7.2, height_in=0.9 + 0.34 * most)
    largest = max(np.nanmax(np.abs([p.negative, p.positive]), initial=0) for p in panels.values())
    lowest = min(np.nanmin([p.negative, p.positive], initial=0.0) for p in panels.values())
    room = 1.2 if any(p.gain is not None for p in panels.values()) else 1.05
    for axes, (name, panel) in zip(grid[:, 0], panels.items(), strict=True):
        rows = np.arange(len(panel.regions))
        axes.barh(rows - _BAR / 2, panel.positive, _BAR, color=POSITIVE, label=classes[1])
        axes.barh(
            rows + _BAR / 2,
            panel.negative,
            _BAR,
            color="white",
            edgecolor=NEGATIVE,
            hatch="////",
            label=classes[0],
        )
        _write_gains(axes, panel)
        axes.set_yticks(rows, [_short(name) for name in panel.regions])
        axes.invert_yaxis()
        axes.set(title=f"Configuration {name}", xlim=(lowest * 1.05, largest * room or 1.0))
        axes.grid(False, axis="y")
        axes.ticklabel_format(axis="x", scilimits=(-3, 4))
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    grid[-1, 0].set_xlabel(label)
    return to_svg(figure)


def _write_gains(axes: Axes, panel: RegionDensity) -> None:
    if panel.gain is None:
        return
    ends = np.nanmax([panel.negative, panel.positive, np.zeros(len(panel.regions))], axis=0)
    for row, (end, gain) in enumerate(zip(ends, panel.gain, strict=True)):
        text = "n/a" if np.isnan(gain) else f"× {gain:.3g}"
        axes.annotate(
            text,
            (end, row),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=GREY,
        )


@house_style()
def region_violins(
    values: RegionPanel, classes: tuple[str, str], *, title: str, label: str
) -> bytes:
    """Draw how single scans of both classes spread in each region, with their means.

    Above the line of a region the positive class, below it the negative one; the largest density
    of every shape has one height.
    """
    n = len(values.regions)
    figure, grid = grid_of(1, width_in=7.2, height_in=1.1 + 0.3 * n)
    axes = grid[0, 0]
    for name, colour, side, arrays in (
        (classes[1], POSITIVE, -1, values.positive),
        (classes[0], NEGATIVE, 1, values.negative),
    ):
        finite = [array[np.isfinite(array)] for array in arrays]
        for row, array in enumerate(finite):
            _half_violin(axes, row, array, side, colour)
        means = [array.mean() if array.size else np.nan for array in finite]
        fill = colour if side < 0 else "white"
        axes.plot(
            means,
            np.arange(n) + 0.12 * side,
            "o",
            ms=6,
            mfc=fill,
            mec=colour,
            mew=1.4,
            label=f"{name}, mean",
            zorder=4,
        )
    for name, colour, line in _INDIVIDUALS:
        if name in values.individuals:
            axes.plot(
                values.individuals[name],
                np.arange(n),
                line,
                color=colour,
                lw=1.1,
                label=f"individual {name}",
                zorder=3,
            )
    axes.set_yticks(np.arange(n), [_short(name) for name in values.regions])
    axes.set(ylim=(n - 0.4, -0.6), xlabel=label, title=title)
    axes.grid(False, axis="y")
    axes.ticklabel_format(axis="x", scilimits=(-3, 4))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return to_svg(figure)


def _half_violin(axes: Axes, row: int, values: Floats, side: int, colour: str) -> None:
    """A Gaussian kernel density (Silverman's width) from the least to the greatest value."""
    spread = float(values.std(ddof=1)) if values.size >= _FEWEST else 0.0
    if not spread > 0:
        axes.plot(values, np.full(values.size, row + 0.2 * side), "|", color=colour, ms=6)
        return
    width = 1.06 * spread * values.size**-0.2
    x = np.linspace(values.min(), values.max(), _POINTS)
    density = np.exp(-0.5 * ((x[:, None] - values) / width) ** 2).sum(axis=1)
    edge = row + side * _HALF * density / density.max()
    axes.fill_between(x, row, edge, color=colour, alpha=0.35, lw=0)


@house_style()
def agreement_matrices(panels: Mapping[str, tuple[Sequence[str], Floats]]) -> bytes:
    """Draw how far pairs agree, darker for more, with the number in every field.

    panels : title → names (k,) and their agreement (k, k) from 0 to 1, NaN where it is not known;
        one column a panel
    """
    letters = max(len(name) for names, _ in panels.values() for name in names)
    side = max(1.6, _SQUARE_IN * max(len(names) for names, _ in panels.values()))
    beside = 0.075 * min(letters, _LETTERS)
    figure, grid = grid_of(
        len(panels), width_in=side + beside + 0.3, height_in=side + beside + 0.5, shared=False
    )
    for axes, (title, (names, values)) in zip(grid[0], panels.items(), strict=True):
        axes.imshow(values, cmap="Blues", vmin=0.0, vmax=1.0)
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                colour = "white" if value > _DARK else "black"
                axes.text(
                    column,
                    row,
                    f"{100 * value:.0f}",
                    ha="center",
                    va="center",
                    color=colour,
                    fontsize=9,
                )
        labels = [_short(name) for name in names]
        axes.set_xticks(range(len(names)), labels, rotation=90 if letters > 4 else 0)
        axes.set_yticks(range(len(names)), labels)
        axes.set_title("\n".join(textwrap.wrap(title, 22)))
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    return to_svg(figure)


def _short(name: str) -> str:
    return textwrap.shorten(name, _LETTERS, placeholder=" …")
