"""Confusion matrices, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bids_xai.figures.panels import leads_line, panels_in_lines, wrapped
from bids_xai.figures.style import house_style, to_svg

_NAME_LETTERS = 14
_DARK = 0.71  # share from which white letters stand out more than black ones


@house_style()
def confusion_matrices(panels: Mapping[str, Any], names: Sequence[str]) -> bytes:
    """Draw how many scans of each class were taken for which; darker is a larger share of a class.

    panels : title → (k, k) scans, true class by row, predicted class by column
    names : (k,) of the classes
    """
    labels = [wrapped(name, _NAME_LETTERS) for name in names]
    side = 0.62 * len(names)
    figure, drawn = panels_in_lines(
        len(panels), extra_in=max(0.0, side - 1.8), wide_in=max(0.0, side - 2)
    )
    for axes, (title, counts) in zip(drawn, panels.items(), strict=True):
        total = np.maximum(counts.sum(axis=1, keepdims=True), 1)
        share = counts / total
        axes.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0)
        for (row, column), count in np.ndenumerate(counts):
            text = f"{count:.0f}\n{100 * share[row, column]:.0f} %"
            colour = "white" if share[row, column] > _DARK else "black"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
        axes.set_xticks(range(len(names)), labels, rotation=_tilt(names))
        axes.set_yticks(range(len(names)), labels)
        axes.set(title=wrapped(title), xlabel="predicted class")
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        if leads_line(axes):
            axes.set_ylabel("true class")
    return to_svg(figure)


def _tilt(names: Sequence[str]) -> float:
    return 30.0 if max(map(len, names)) * len(names) > 24 else 0.0
