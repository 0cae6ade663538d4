"""Charts of training over epochs, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from bids_xai.arrays import Floats
from bids_xai.figures.panels import PANEL_IN, Curve, wrapped
from bids_xai.figures.style import GREY, LINES, PALETTE, grid_of, house_style, to_svg


@dataclass(frozen=True)
class TrainingRun:
    """The epochs of one split, (n_epochs,) each; not finite = missing."""

    epoch: Floats
    train_ce: Floats
    validation_ce: Floats
    validation_balanced_accuracy: Floats


@house_style()
def training_curves(runs: Mapping[str, Sequence[TrainingRun]], chance: float = 0.5) -> bytes:
    """Draw cross entropy and validation accuracy over epochs, one column a configuration.

    runs : configuration → one run a split
    chance : balanced accuracy of guessing, drawn as a dotted line
    """
    figure, grid = grid_of(len(runs), 2, width_in=PANEL_IN[0], height_in=PANEL_IN[1] - 0.5)
    for column, (name, splits) in enumerate(runs.items()):
        upper, lower = grid[0, column], grid[1, column]
        training = [(run.epoch, run.train_ce) for run in splits]
        _bundle(upper, training, PALETTE[0], "training")
        validation = [(run.epoch, run.validation_ce) for run in splits]
        _bundle(upper, validation, PALETTE[1], "validation")
        accuracy = [(run.epoch, run.validation_balanced_accuracy) for run in splits]
        _bundle(lower, accuracy, PALETTE[1], "validation")
        upper.set_title(wrapped(f"Configuration {name}"))
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
