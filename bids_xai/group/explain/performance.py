"""How good the classifiers are: per split, over the splits, and against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bids_xai.arrays import Floats64
from bids_xai.bids.layout import read_json
from bids_xai.core.scores import MULTICLASS_MEASURES, multiclass_scores, summarise_values
from bids_xai.group.explain.comparisons import compare
from bids_xai.group.explain.curves import (
    by_split,
    calibration_bins,
    confusion_cells,
    of_configuration,
    roc_points,
)
from bids_xai.studies.tables import Target
from bids_xai.tables.predictions import (
    CALIBRATION,
    COMPARISONS,
    CONFUSION,
    PERFORMANCE,
    PERFORMANCE_SUMMARY,
    ROC,
    BaselinePrediction,
    CalibrationBin,
    Comparison,
    ConfusionCell,
    Performance,
    PerformanceSummary,
    Prediction,
    RocPoint,
)

Classified = Prediction | BaselinePrediction
"""What a classifier says of a test scan."""

_SUMMARISED = (*MULTICLASS_MEASURES, "epochs", "seconds")


@dataclass(frozen=True)
class TrainingLength:
    """How long a training took, in epochs and in s; ``None`` where that is not recorded."""

    epochs: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class PerformanceTables:
    """The lines of the tables about performance."""

    performance: tuple[Performance, ...]
    summary: tuple[PerformanceSummary, ...]
    comparisons: tuple[Comparison, ...]
    roc: tuple[RocPoint, ...]
    calibration: tuple[CalibrationBin, ...]
    confusion: tuple[ConfusionCell, ...]


def training_length(model_folder: Path) -> TrainingLength:
    """Return how long the training of a model took, from its card.

    Raises :class:`BadDataError` for a card that is damaged.
    """
    card = model_folder / "model.json"
    if not card.is_file():
        return TrainingLength()
    metrics = read_json(card).get("metrics", {})
    return TrainingLength(metrics.get("epochs"), metrics.get("seconds"))


def performance_tables(
    rows: Sequence[Classified],
    target: Target,
    names: Sequence[str],
    lengths: Mapping[tuple[str, int], TrainingLength],
) -> PerformanceTables:
    """Return performance, its summary, comparisons, ROC, calibration and confusion tables.

    rows : of networks and baselines, each scan of a classifier and split once
    names : configurations and baselines in the order of the tables; without rows they are left out
    lengths : (configuration, split) → length of its training
    Raises :class:`BadDataError` for a class that is not of the target.
    """
    present = {row.configuration for row in rows}
    ids = [name for name in names if name in present]
    performance: list[Performance] = []
    summary: list[PerformanceSummary] = []
    for name in ids:
        of_splits = [
            split_performance(part, target, lengths.get((name, part[0].split), TrainingLength()))
            for part in by_split(of_configuration(rows, name))
        ]
        performance += of_splits
        summary += _summary(name, of_splits)
    return PerformanceTables(
        tuple(performance),
        tuple(summary),
        tuple(compare(rows, ids, performance)),
        tuple(roc_points(rows, ids, target.positive_name)),
        tuple(calibration_bins(rows, ids, target.positive_name)),
        tuple(confusion_cells(rows, ids, target.names)),
    )


def write_performance(folder: Path, tables: PerformanceTables) -> list[Path]:
    """Write all tables into the study's folder; return them with their JSON files."""
    return [
        *PERFORMANCE.write(folder / PERFORMANCE.file, tables.performance),
        *PERFORMANCE_SUMMARY.write(folder / PERFORMANCE_SUMMARY.file, tables.summary),
        *COMPARISONS.write(folder / COMPARISONS.file, tables.comparisons),
        *ROC.write(folder / ROC.file, tables.roc),
        *CALIBRATION.write(folder / CALIBRATION.file, tables.calibration),
        *CONFUSION.write(folder / CONFUSION.file, tables.confusion),
    ]


def class_probabilities(rows: Sequence[Classified], target: Target) -> Floats64:
    """Return (n, k) probabilities of the classes, in the order of the target.

    Raises :class:`KeyError` where a row of three classes or more lacks one.
    """
    if len(target.names) > 2:
        return np.array(
            [[row.class_probabilities[name] for name in target.names] for row in rows],
            dtype=np.float64,
        )
    positive = np.array([row.probability for row in rows], dtype=np.float64)
    pair = np.stack([1 - positive, positive], axis=1)
    return pair if target.positive_index == 1 else pair[:, ::-1]


def split_performance(
    rows: Sequence[Classified], target: Target, length: TrainingLength
) -> Performance:
    """Return the scores of a classifier on the test scans of a split; rows : at least one."""
    score = multiclass_scores(
        [row.true_class for row in rows],
        class_probabilities(rows, target),
        target.names,
        positive=target.positive_name,
    )
    index = target.positive_index
    tp = int(score.confusion[index, index])
    n_predicted, n_positive = (int(score.confusion.sum(axis=axis)[index]) for axis in (0, 1))
    return Performance(
        configuration=rows[0].configuration,
        split=rows[0].split,
        n_test=len(rows),
        accuracy=score.accuracy,
        balanced_accuracy=score.balanced_accuracy,
        macro_auc=score.macro_auc,
        sensitivity=score.sensitivity,
        specificity=score.specificity,
        auc=score.auc,
        tp=tp,
        fp=n_predicted - tp,
        tn=len(rows) - n_predicted - n_positive + tp,
        fn=n_positive - tp,
        epochs=length.epochs,
        seconds=length.seconds,
    )


def _summary(name: str, splits: Sequence[Performance]) -> list[PerformanceSummary]:
    """Every measure that a split at least has, over all of them."""
    summaries = {
        metric: summarise_values([getattr(split, metric) for split in splits])
        for metric in _SUMMARISED
    }
    return [
        PerformanceSummary(
            configuration=name,
            metric=metric,
            mean=summary.mean,
            sd=summary.sd,
            percentile_2_5=summary.percentile_2_5,
            percentile_97_5=summary.percentile_97_5,
            n_splits=summary.n,
        )
        for metric, summary in summaries.items()
        if summary is not None
    ]
