"""What a classifier's probabilities and classes are worth: ROC, calibration and confusion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from bids_xai.core.scores import calibration, fpr_grid, roc_band, roc_on_grid
from bids_xai.tables.predictions import (
    BaselinePrediction,
    CalibrationBin,
    ConfusionCell,
    Prediction,
    RocPoint,
)

Row = TypeVar("Row", Prediction, BaselinePrediction, Prediction | BaselinePrediction)

_CALIBRATION_BINS = 10


def of_configuration(rows: Sequence[Row], name: str) -> list[Row]:
    """Return the rows of a configuration or baseline."""
    return [row for row in rows if row.configuration == name]


def by_split(rows: Sequence[Row]) -> list[list[Row]]:
    """Return the rows of every split, splits in their order."""
    numbers = sorted({row.split for row in rows})
    return [[row for row in rows if row.split == number] for number in numbers]


def _truth(rows: Sequence[Row], positive: str) -> tuple[list[bool], list[float]]:
    """Whether each scan is of the positive class, and how probable that was."""
    return [row.true_class == positive for row in rows], [row.probability for row in rows]


def roc_points(rows: Sequence[Row], names: Sequence[str], positive: str) -> list[RocPoint]:
    """Return the points of the mean ROC curve over the splits of every classifier.

    positive : name of the positive class. A split with one class alone counts for nothing; a
    classifier without any other has no curve.
    """
    grid = fpr_grid()
    points: list[RocPoint] = []
    for name in names:
        splits = by_split(of_configuration(rows, name))
        curves = [
            curve
            for part in splits
            if (curve := roc_on_grid(*_truth(part, positive), grid)) is not None
        ]
        if not curves:
            continue
        band = roc_band(curves, grid)
        points += [
            RocPoint(
                configuration=name,
                fpr=float(fpr),
                tpr=float(tpr),
                percentile_2_5=float(low),
                percentile_97_5=float(high),
                n_splits=band.n,
            )
            for fpr, tpr, low, high in zip(
                band.fpr, band.mean, band.percentile_2_5, band.percentile_97_5, strict=True
            )
        ]
    return points


def calibration_bins(
    rows: Sequence[Row], names: Sequence[str], positive: str
) -> list[CalibrationBin]:
    """Return ten bins of equally many test scans of every classifier; fewer for fewer scans."""
    bins: list[CalibrationBin] = []
    for name in names:
        scans = of_configuration(rows, name)
        curve = calibration(*_truth(scans, positive), n_bins=min(_CALIBRATION_BINS, len(scans)))
        columns = zip(curve.counts, curve.predicted, curve.observed, strict=True)
        bins += [
            CalibrationBin(
                configuration=name,
                bin_number=number,
                n=int(n),
                predicted=float(predicted),
                observed=float(observed),
                brier=curve.brier,
                expected_error=curve.expected_error,
            )
            for number, (n, predicted, observed) in enumerate(columns, 1)
        ]
    return bins


def confusion_cells(
    rows: Sequence[Row], names: Sequence[str], classes: Sequence[str]
) -> list[ConfusionCell]:
    """Return how often every classifier takes a class for which, all splits together."""
    counts = Counter((row.configuration, row.true_class, row.predicted_class) for row in rows)
    return [
        ConfusionCell(
            configuration=name,
            true_class=true_class,
            predicted_class=predicted,
            n=counts[name, true_class, predicted],
        )
        for name in names
        for true_class in classes
        for predicted in classes
    ]
