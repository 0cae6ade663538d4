"""Reliability of predicted probabilities, as SVG."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bids_xai.arrays import Floats
from bids_xai.figures.panels import OVER_LINES, leads_line, panels_in_lines, wrapped
from bids_xai.figures.style import GREY, PALETTE, house_style, to_svg

_LABEL_LETTERS = 34


@dataclass(frozen=True)
class Reliability:
    """Predicted probability and observed share of the positive class, (n_bins,) each."""

    predicted: Floats
    observed: Floats
    note: str = ""


@house_style()
def calibration_curves(panels: Mapping[str, Reliability], positive: str) -> bytes:
    """Draw the observed share of the positive class over the predicted probability.

    panels : title → bins; positive : name of the class
    """
    figure, drawn = panels_in_lines(len(panels), extra_in=0.3)
    for axes, (title, bins) in zip(drawn, panels.items(), strict=True):
        axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":")
        axes.plot(
            bins.predicted, bins.observed, color=PALETTE[0], lw=1.8, marker="o", ms=5, clip_on=False
        )
        axes.set(
            title=wrapped(title),
            aspect="equal",
            xlim=(-0.02, 1.02),
            ylim=(-0.02, 1.02),
            xlabel=wrapped(f"predicted probability of {positive}", _LABEL_LETTERS),
        )
        if leads_line(axes):
            axes.set_ylabel(wrapped(f"observed share of {positive}", _LABEL_LETTERS))
        axes.text(
            0.03,
            0.97,
            bins.note,
            transform=axes.transAxes,
            ha="left",
            va="top",
            fontsize=9,
            bbox=OVER_LINES,
        )
    return to_svg(figure)
