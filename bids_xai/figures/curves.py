"""Charts of training, of classification and of the balance of a cohort, as SVG."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from bids_xai.arrays import Floats
from bids_xai.figures.style import (
    GREY,
    LINES,
    NEGATIVE,
    PALETTE,
    POSITIVE,
    empty_panel,
    grid_of,
    house_style,
    to_svg,
)

Run = Mapping[str, Floats]
Curve = tuple[Floats, Floats]

_PANEL_IN = (3.4, 3.0)
_MOST_COLUMNS = 3
_TITLE_LETTERS = 30
_LABEL_LETTERS = 34
_NAME_LETTERS = 14
_COMMON_FPR = np.linspace(0.0, 1.0, 201)
_DARK = 0.71  # share from which white letters stand out more than black ones
_BALANCED = 0.1
_OVER_LINES: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85}
_ROW_GAP_IN = 0.12


@dataclass(frozen=True)
class RocBand:
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


@dataclass(frozen=True)
class Reliability:
    """Predicted probability and observed share of the positive class, (n_bins,) each."""

    predicted: Floats
    observed: Floats
    note: str = ""


@house_style()
def training_curves(runs: Mapping[str, Sequence[Run]], chance: float = 0.5) -> bytes:
    """Draw cross entropy and validation accuracy over epochs, one column a configuration.

    runs : configuration → one run a split with ``epoch``, ``train_ce``, ``validation_ce``,
        ``validation_balanced_accuracy``, each (n_epochs,); not finite = missing
    chance : balanced accuracy of guessing, drawn as a dotted line
    """
    figure, grid = grid_of(len(runs), 2, width_in=_PANEL_IN[0], height_in=_PANEL_IN[1] - 0.5)
    for column, (name, splits) in enumerate(runs.items()):
        upper, lower = grid[0, column], grid[1, column]
        for colour, key, label in (
            (PALETTE[0], "train_ce", "training"),
            (PALETTE[1], "validation_ce", "validation"),
        ):
            _bundle(upper, [(run["epoch"], run[key]) for run in splits], colour, label)
        accuracy = [(run["epoch"], run["validation_balanced_accuracy"]) for run in splits]
        _bundle(lower, accuracy, PALETTE[1], "validation")
        upper.set_title(_wrapped(f"Configuration {name}"))
        lower.set(xlabel="epoch", ylim=(0, 1.02))
        lower.axhline(chance, color=GREY, lw=0.8, ls=":")
    grid[0, 0].set_ylabel("cross entropy")
    grid[1, 0].set_ylabel("balanced accuracy")
    grid[0, 0].legend()
    return to_svg(figure)


@house_style()
def share_curves(runs: Mapping[str, Sequence[Curve]]) -> bytes:
    """Draw the share of relevance inside the mask over epochs, one colour a configuration.

    runs : configuration → one (epochs, share 0 to 1) a split
    """
    figure, grid = grid_of(1, width_in=6.0, height_in=3.4)
    axes = grid[0, 0]
    for number, (name, splits) in enumerate(runs.items()):
        colour, line = PALETTE[number % len(PALETTE)], LINES[number % len(LINES)]
        _bundle(axes, splits, colour, f"configuration {name}", line)
    axes.set(xlabel="epoch", ylabel="share of relevance in the mask", ylim=(0, 1.02))
    axes.legend()
    return to_svg(figure)


@house_style()
def roc_curves(curves: Mapping[str, Sequence[Curve]]) -> bytes:
    """Draw ROC curves: thin for each split, thick their mean at equal false positive rates.

    curves : title → one (false positive rate, true positive rate) a split
    """
    figure, panels = _panels(len(curves), extra_in=0.3)
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
def roc_bands(bands: Mapping[str, RocBand]) -> bytes:
    """Draw the mean ROC curve of each with the band of its percentiles, if splits are several.

    bands : title → curve and band
    """
    figure, panels = _panels(len(bands), extra_in=0.4)
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
            bbox=_OVER_LINES,
        )
    widest = max(panels, key=lambda axes: len(axes.get_legend_handles_labels()[1]))
    figure.legend(*widest.get_legend_handles_labels(), loc="outside upper right", ncols=3)
    return to_svg(figure)


def _roc_axes(axes: Axes, title: str) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":", label="chance")
    axes.set(
        title=_wrapped(title),
        xlabel="1 − specificity",
        aspect="equal",
        xlim=(-0.02, 1.02),
        ylim=(-0.02, 1.02),
    )
    if _leads_line(axes):
        axes.set_ylabel("sensitivity")


@house_style()
def calibration_curves(panels: Mapping[str, Reliability], positive: str) -> bytes:
    """Draw the observed share of the positive class over the predicted probability.

    panels : title → bins; positive : name of the class
    """
    figure, drawn = _panels(len(panels), extra_in=0.3)
    for axes, (title, bins) in zip(drawn, panels.items(), strict=True):
        axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":")
        axes.plot(
            bins.predicted, bins.observed, color=PALETTE[0], lw=1.8, marker="o", ms=5, clip_on=False
        )
        axes.set(
            title=_wrapped(title),
            aspect="equal",
            xlim=(-0.02, 1.02),
            ylim=(-0.02, 1.02),
            xlabel=_wrapped(f"predicted probability of {positive}", _LABEL_LETTERS),
        )
        if _leads_line(axes):
            axes.set_ylabel(_wrapped(f"observed share of {positive}", _LABEL_LETTERS))
        axes.text(
            0.03,
            0.97,
            bins.note,
            transform=axes.transAxes,
            ha="left",
            va="top",
            fontsize=9,
            bbox=_OVER_LINES,
        )
    return to_svg(figure)


@house_style()
def confusion_matrices(panels: Mapping[str, Any], names: Sequence[str]) -> bytes:
    """Draw how many scans of each class were taken for which; darker is a larger share of a class.

    panels : title → (k, k) scans, true class by row, predicted class by column
    names : (k,) of the classes
    """
    labels = [_wrapped(name, _NAME_LETTERS) for name in names]
    side = 0.62 * len(names)
    figure, drawn = _panels(len(panels), extra_in=max(0.0, side - 1.8), wide_in=max(0.0, side - 2))
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
        axes.set(title=_wrapped(title), xlabel="predicted class")
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        if _leads_line(axes):
            axes.set_ylabel("true class")
    return to_svg(figure)


@house_style()
def balance_dots(names: Sequence[str], before: Floats, after: Floats) -> bytes:
    """Draw standardised mean differences, hollow before and filled after matching.

    names : (n,) covariates, the first on top; before, after : (n,), not finite = not defined
    """
    figure, grid = grid_of(1, width_in=6.2, height_in=1.3 + 0.34 * len(names))
    axes, place = grid[0, 0], np.arange(len(names))
    axes.axvspan(-_BALANCED, _BALANCED, color="#E3E3E3", lw=0, zorder=0)
    axes.axvline(0.0, color=GREY, lw=0.8, zorder=1)
    axes.hlines(place, before, after, color=GREY, lw=0.8, zorder=2)
    axes.plot(before, place, "o", mfc="white", mec=NEGATIVE, mew=1.6, ms=9, label="before")
    axes.plot(after, place, "D", color=POSITIVE, ms=6, label="after")
    axes.set_yticks(place, [_wrapped(name, _TITLE_LETTERS) for name in names])
    values = np.abs([before, after])
    reach = 1.12 * max(float(values[np.isfinite(values)].max(initial=0.0)), 2 * _BALANCED)
    axes.set(
        xlim=(-reach, reach), ylim=(len(names) - 0.4, -0.6), xlabel="standardised mean difference"
    )
    axes.grid(False, axis="y")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return to_svg(figure)


def _panels(n: int, *, extra_in: float = 0.0, wide_in: float = 0.0) -> tuple[Figure, list[Axes]]:
    """Return a figure with ``n`` panels in lines of three at most, evenly filled.

    extra_in, wide_in : height and width of a panel beyond the usual
    """
    rows = -(-n // _MOST_COLUMNS)
    columns = -(-n // rows)
    width, height = _PANEL_IN[0] + wide_in, _PANEL_IN[1] + extra_in
    figure, grid = grid_of(columns, rows, width_in=width, height_in=height)
    engine = figure.get_layout_engine()
    if rows > 1 and isinstance(engine, ConstrainedLayoutEngine):
        engine.set(h_pad=_ROW_GAP_IN)
    for axes in grid.flat[n:]:
        axes.set_axis_off()
    return figure, list(grid.flat[:n])


def _leads_line(axes: Axes) -> bool:
    """Whether it is the first panel of its line."""
    place = axes.get_subplotspec()
    return place is None or place.is_first_col()


def _wrapped(text: str, letters: int = _TITLE_LETTERS) -> str:
    return textwrap.fill(text, letters)


def _tilt(names: Sequence[str]) -> float:
    return 30.0 if max(map(len, names)) * len(names) > 24 else 0.0


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


def _bundle(axes: Axes, curves: Sequence[Curve], colour: str, label: str, line: str = "-") -> None:
    """Draw every curve thin and their mean thick; a single one only once."""
    finite = [(x[np.isfinite(y)], y[np.isfinite(y)]) for x, y in curves]
    finite = [(x, y) for x, y in finite if len(x)]
    if not finite:
        return
    for x, y in finite if len(finite) > 1 else ():
        axes.plot(x, y, color=colour, lw=0.6, alpha=0.35)
    epochs = np.unique(np.concatenate([x for x, _ in finite]))
    mean = [
        np.mean([y[x == epoch].mean() for x, y in finite if (x == epoch).any()]) for epoch in epochs
    ]
    marker = "o" if len(epochs) == 1 else ""
    axes.plot(epochs, mean, color=colour, lw=2.0, ls=line, label=label, marker=marker)
