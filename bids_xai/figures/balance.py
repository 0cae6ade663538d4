"""Balance of covariates before and after matching, as SVG."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bids_xai.arrays import Floats
from bids_xai.figures.panels import TITLE_LETTERS, wrapped
from bids_xai.figures.style import GREY, NEGATIVE, POSITIVE, grid_of, house_style, to_svg

_BALANCED = 0.1


@house_style()
def balance_dots(names: Sequence[str], before: Floats, after: Floats) -> bytes:
    """Draw standardised mean differences, hollow before and filled after matching.

    names : (n,) covariates, the first on top; before, after : (n,), not finite = not defined
    """
    figure, grid = grid_of(1, width_in=6.2, height_in=1.3 + 0.34 * len(names))
    axes, rows = grid[0, 0], np.arange(len(names))
    axes.axvspan(-_BALANCED, _BALANCED, color="#E3E3E3", lw=0, zorder=0)
    axes.axvline(0.0, color=GREY, lw=0.8, zorder=1)
    axes.hlines(rows, before, after, color=GREY, lw=0.8, zorder=2)
    axes.plot(before, rows, "o", mfc="white", mec=NEGATIVE, mew=1.6, ms=9, label="before")
    axes.plot(after, rows, "D", color=POSITIVE, ms=6, label="after")
    axes.set_yticks(rows, [wrapped(name, TITLE_LETTERS) for name in names])
    values = np.abs([before, after])
    reach = 1.12 * max(float(values[np.isfinite(values)].max(initial=0.0)), 2 * _BALANCED)
    axes.set(
        xlim=(-reach, reach), ylim=(len(names) - 0.4, -0.6), xlabel="standardised mean difference"
    )
    axes.grid(False, axis="y")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return to_svg(figure)
