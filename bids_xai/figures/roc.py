"""ROC curves and their bands over splits, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from bids_xai.arrays import Floats
from bids_xai.figures.panels import OVER_LINES, Curve, leads_line, panels_in_lines, wrapped
from bids_xai.figures.style import GREY, PALETTE, empty_panel, house_style, to_svg

_COMMON_FPR = np.linspace(0.0, 1.0, 201)


@dataclass(frozen=True)
class RocPanel:
    """Mean ROC curve of ``n_splits`` test sets between two percentiles, every field (m,).

    fpr : false positive rates; tpr : mean true positive rate there; low, high : its percentiles
    note : a second line for the legend, such as the area under the curve
    """

    fpr: Floats
    tpr: Floats
    low: Floats
    high: Floats
    n_splits: int
    note: str = ""


@house_style()
def roc_curves(curves: Mapping[str, Sequence[Curve]]) -> bytes:
    """Draw ROC curves: thin for each split, thick their mean at equal false positive rates.

    curves : title → one (false positive rate, true positive rate) a split
    """
    figure, panels = panels_in_lines(len(curves), extra_in=0.3)
    for axes, (title, splits) in zip(panels, curves.items(), strict=True):
        for fpr, tpr in splits:
            axes.plot(fpr, tpr, color=PALETTE[0], lw=0.8, alpha=0.45)
        _roc_axes(axes, title)
        if splits:
            axes.plot(
                _COMMON_FPR, mean_roc(splits), color=PALETTE[1], lw=2.2, label=_mean_of(len(splits))
            )
            axes.legend(loc="lower right", frameon=True, framealpha=0.85, edgecolor="none")
        else:
            empty_panel(axes, "no test set\nwith both classes")
    return to_svg(figure)


@house_style()
def roc_bands(bands: Mapping[str, RocPanel]) -> bytes:
    """Draw the mean ROC curve of each with the band of its percentiles, if splits are several.

    bands : title → curve and band
    """
    figure, panels = panels_in_lines(len(bands), extra_in=0.4)
    for axes, (title, band) in zip(panels, bands.items(), strict=True):
        if band.n_splits > 1:
            axes.fill_between(
                band.fpr,
                band.low,
                band.high,
                color=PALETTE[1],
                alpha=0.22,
                lw=0,
                label="2.5 to 97.5 percentile",
            )
        # all curves start at (0, 0), whatever their height at a rate of 0
        fpr, tpr = np.append(0.0, band.fpr), np.append(0.0, band.tpr)
        axes.plot(
            fpr, tpr, color=PALETTE[1], lw=2.2, label="mean" if band.n_splits > 1 else "curve"
        )
        _roc_axes(axes, title)
        note = "\n".join(filter(None, (_mean_of(band.n_splits), band.note)))
        axes.text(
            0.97,
            0.03,
            note,
            transform=axes.transAxes,
            ha="right",
            va="bottom",
            fontsize=9,
            bbox=OVER_LINES,
        )
    widest = max(panels, key=lambda axes: len(axes.get_legend_handles_labels()[1]))
    figure.legend(*widest.get_legend_handles_labels(), loc="outside upper right", ncols=3)
    return to_svg(figure)


def _roc_axes(axes: Axes, title: str) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":", label="chance")
    axes.set(
        title=wrapped(title),
        xlabel="1 − specificity",
        aspect="equal",
        xlim=(-0.02, 1.02),
        ylim=(-0.02, 1.02),
    )
    if leads_line(axes):
        axes.set_ylabel("sensitivity")


def _mean_of(n_splits: int) -> str:
    return f"mean of {n_splits} splits" if n_splits > 1 else "one split"


def mean_roc(curves: Sequence[Curve]) -> Floats:
    """Return the mean sensitivity (201,) at false positive rates 0, 0.005, …, 1.

    Where a curve rises at one rate, its upper end counts, except that all start at (0, 0).
    """
    lifted = []
    for fpr, tpr in curves:
        last = np.searchsorted(fpr, _COMMON_FPR, side="right") - 1
        after = np.minimum(last + 1, len(fpr) - 1)
        step = fpr[after] - fpr[last]
        part = np.where(step > 0, (_COMMON_FPR - fpr[last]) / np.where(step > 0, step, 1.0), 0.0)
        lifted.append(tpr[last] + part * (tpr[after] - tpr[last]))
    mean: Floats = np.mean(lifted, axis=0)
    mean[0] = 0.0
    return mean
