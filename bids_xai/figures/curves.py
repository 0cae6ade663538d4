"""Curves of training and of classification, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from bids_xai.figures.style import (
    GREY,
    LINES,
    PALETTE,
    Floats,
    empty_panel,
    grid_of,
    house_style,
    to_svg,
)

Run = Mapping[str, Floats]
Curve = tuple[Floats, Floats]

_PANEL_IN = (3.4, 3.0)
_COMMON_FPR = np.linspace(0.0, 1.0, 201)


@house_style()
def training_curves(runs: Mapping[str, Sequence[Run]]) -> bytes:
    """Draw cross entropy and validation accuracy over epochs, one column a configuration.

    runs : configuration → one run a split with ``epoch``, ``train_ce``, ``validation_ce``,
        ``validation_balanced_accuracy``, each (n_epochs,); not finite = missing
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
        upper.set_title(f"Configuration {name}")
        lower.set(xlabel="epoch", ylim=(0, 1.02))
        lower.axhline(0.5, color=GREY, lw=0.8, ls=":")
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

    curves : configuration → one (false positive rate, true positive rate) a split
    """
    figure, grid = grid_of(len(curves), width_in=_PANEL_IN[0], height_in=_PANEL_IN[1] + 0.3)
    for axes, (name, splits) in zip(grid[0], curves.items(), strict=True):
        axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":", label="chance")
        for fpr, tpr in splits:
            axes.plot(fpr, tpr, color=PALETTE[0], lw=0.8, alpha=0.45)
        if splits:
            label = f"mean of {len(splits)} splits" if len(splits) > 1 else "one split"
            axes.plot(_COMMON_FPR, mean_roc(splits), color=PALETTE[1], lw=2.2, label=label)
            axes.legend(loc="lower right")
        else:
            empty_panel(axes, "no test set\nwith both classes")
        axes.set(title=f"Configuration {name}", xlabel="1 − specificity", aspect="equal")
    grid[0, 0].set_ylabel("sensitivity")
    return to_svg(figure)


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
    mean = [np.mean([y[x == epoch].mean() for x, y in finite if (x == epoch).any()])
            for epoch in epochs]  # fmt: skip
    marker = "o" if len(epochs) == 1 else ""
    axes.plot(epochs, mean, color=colour, lw=2.0, ls=line, label=label, marker=marker)
