"""Scores of one set of scans, of two classes or more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_xai.arrays import Floats64, Ints
from bids_xai.core.scores.two_classes import area_under_curve, two_class_arrays
from bids_xai.errors import BadDataError

MEASURES = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "auc")
MULTICLASS_MEASURES = ("accuracy", "balanced_accuracy", "macro_auc", *MEASURES[2:])


@dataclass(frozen=True, kw_only=True)
class ClassificationScores:
    """Scores of one set of scans; None where a class that a score needs does not occur."""

    accuracy: float
    balanced_accuracy: float | None
    sensitivity: float | None
    specificity: float | None
    auc: float | None
    tp: int
    fp: int
    tn: int
    fn: int


@dataclass(frozen=True, kw_only=True)
class MulticlassScores:
    """Scores of one set of scans over k classes; None where a class needed does not occur.

    classes : names, in the order of rows and columns
    confusion : (k, k) scans, true class by row, predicted class by column
    balanced_accuracy : mean of the classes' recalls
    macro_auc : mean of the classes' areas under the ROC curve, each against all others
    sensitivity, specificity, auc : of the positive class against all others; None without one
    """

    classes: tuple[str, ...]
    confusion: Ints
    accuracy: float
    balanced_accuracy: float | None
    macro_auc: float | None
    sensitivity: float | None
    specificity: float | None
    auc: float | None


def classification_scores(
    true_positive: npt.ArrayLike, p_positive: npt.ArrayLike, threshold: float = 0.5
) -> ClassificationScores:
    """Scores of a two-class prediction.

    true_positive : (n,) bool, whether the scan belongs to the positive class
    p_positive : (n,) predicted probability of the positive class; ``>= threshold`` is positive
    Raises ``BadDataError`` for an empty set or undefined probabilities.
    """
    truth, p = two_class_arrays(true_positive, p_positive)
    positive = p >= threshold
    tp, fn = int((truth & positive).sum()), int((truth & ~positive).sum())
    tn, fp = int((~truth & ~positive).sum()), int((~truth & positive).sum())
    sensitivity = tp / (tp + fn) if tp + fn else None
    specificity = tn / (tn + fp) if tn + fp else None
    both = sensitivity is not None and specificity is not None
    return ClassificationScores(
        accuracy=(tp + tn) / truth.size,
        balanced_accuracy=((sensitivity or 0.0) + (specificity or 0.0)) / 2 if both else None,
        sensitivity=sensitivity,
        specificity=specificity,
        auc=area_under_curve(truth, p),
        tp=tp,
        fp=fp,
        tn=tn,
        fn=fn,
    )


def multiclass_scores(
    true_classes: Sequence[str],
    probabilities: npt.ArrayLike,
    classes: Sequence[str],
    *,
    positive: str | None = None,
) -> MulticlassScores:
    """Scores of a prediction of two classes or more.

    true_classes : (n,) class of each scan
    probabilities : (n, k) predicted probability of each class
    classes : names of the k columns
    positive : class that sensitivity, specificity and AUC are of
    The most probable class is predicted; of equal ones ``positive``, else the first. Two classes
    with one positive score as in :func:`classification_scores` at 0.5.
    Raises ``BadDataError`` for an empty set, undefined probabilities or an unknown class.
    """
    p: Floats64 = np.asarray(probabilities, dtype=np.float64)
    names = tuple(classes)
    _check_multiclass(p, true_classes, names, positive)
    truth: Ints = np.array([names.index(name) for name in true_classes], dtype=np.int64)
    predicted = _most_probable(p, names, positive)
    confusion: Ints = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(confusion, (truth, predicted), 1)
    recalls = _mean([_share(row[i], row.sum()) for i, row in enumerate(confusion)])
    areas = [area_under_curve(truth == i, p[:, i]) for i in range(len(names))]
    sensitivity = specificity = auc = None
    if positive is not None:
        i = names.index(positive)
        called, true = predicted == i, truth == i
        sensitivity = _share((called & true).sum(), true.sum())
        specificity = _share((~called & ~true).sum(), (~true).sum())
        auc = areas[i]
    return MulticlassScores(
        classes=names,
        confusion=confusion,
        accuracy=float(np.trace(confusion)) / len(truth),
        balanced_accuracy=recalls,
        macro_auc=_mean(areas),
        sensitivity=sensitivity,
        specificity=specificity,
        auc=auc,
    )


def _check_multiclass(
    p: Floats64, true_classes: Sequence[str], names: tuple[str, ...], positive: str | None
) -> None:
    if len(set(names)) != len(names) or len(names) < 2 or positive not in (None, *names):
        raise ValueError(f"classes must be two or more names with the positive one, got {names}")
    if p.shape != (len(true_classes), len(names)) or p.size == 0:
        raise BadDataError(
            f"Scores need a probability for each of {len(names)} classes per scan, got {p.shape} "
            f"for {len(true_classes)} scans",
            fix="check that the set contains scans and each has a prediction",
        )
    if not np.isfinite(p).all():
        raise BadDataError("A predicted probability is not finite", fix="train the model again")
    unknown = sorted(set(true_classes) - set(names))
    if unknown:
        raise BadDataError(
            f"Class '{unknown[0]}' is not one of {', '.join(names)}",
            fix="exclude its scans, or name the class in the study",
        )


def _most_probable(p: Floats64, names: tuple[str, ...], positive: str | None) -> Ints:
    """Column (n,) of the largest probability; of equal ones the positive class, else the first."""
    predicted: Ints = p.argmax(axis=1).astype(np.int64)
    if positive is not None:
        predicted[p[:, names.index(positive)] == p.max(axis=1)] = names.index(positive)
    return predicted


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def _mean(values: Sequence[float | None]) -> float | None:
    """Mean; None if one of the values is."""
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if len(defined) == len(values) else None
