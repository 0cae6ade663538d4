"""Relevance by brain region, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bids_xai.figures.style import NEGATIVE, POSITIVE, Floats, grid_of, house_style, to_svg

_BAR = 0.38


@dataclass(frozen=True)
class RegionDensity:
    """Mean relevance a voxel in each region, (n_regions,) for either class, first region on top."""

    regions: Sequence[str]
    negative: Floats
    positive: Floats


@house_style()
def region_bars(
    panels: Mapping[str, RegionDensity], classes: tuple[str, str], label: str = "relevance a voxel"
) -> bytes:
    """Draw two bars a region (negative, positive class), one panel a configuration.

    panels : configuration → densities; panels stand above one another, on one scale
    """
    most = max(len(panel.regions) for panel in panels.values())
    figure, grid = grid_of(1, len(panels), width_in=7.2, height_in=0.9 + 0.34 * most)
    largest = max(np.nanmax(np.abs([p.negative, p.positive]), initial=0) for p in panels.values())
    lowest = min(np.nanmin([p.negative, p.positive], initial=0.0) for p in panels.values())
    for axes, (name, panel) in zip(grid[:, 0], panels.items(), strict=True):
        place = np.arange(len(panel.regions))
        axes.barh(place - _BAR / 2, panel.positive, _BAR, color=POSITIVE, label=classes[1])
        axes.barh(place + _BAR / 2, panel.negative, _BAR, color="white", edgecolor=NEGATIVE,
                  hatch="////", label=classes[0])  # fmt: skip
        axes.set_yticks(place, list(panel.regions))
        axes.invert_yaxis()
        axes.set(title=f"Configuration {name}", xlim=(lowest * 1.05, largest * 1.05 or 1.0))
        axes.grid(False, axis="y")
        axes.ticklabel_format(axis="x", scilimits=(-3, 4))
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    grid[-1, 0].set_xlabel(label)
    return to_svg(figure)
