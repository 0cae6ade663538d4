"""How good is a classifier: scores of one test set and of repetitions, ROC and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_xai.arrays import Bools, Floats64, Ints
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


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One measure over repetitions; ``n`` of them had it, ``sd`` has n - 1 in its divisor."""

    mean: float
    sd: float | None
    percentile_2_5: float
    percentile_97_5: float
    n: int


@dataclass(frozen=True, kw_only=True)
class RocBand:
    """ROC curves of ``n`` repetitions at the same false positive rates, every field (m,)."""

    fpr: Floats64
    mean: Floats64
    percentile_2_5: Floats64
    percentile_97_5: Floats64
    n: int


@dataclass(frozen=True, kw_only=True)
class Calibration:
    r"""Do predicted probabilities come true? Bins (b,) in ascending order of probability.

    predicted : mean predicted probability in the bin
    observed : share of the positive class in the bin
    counts : scans in the bin
    brier : :math:`\frac{1}{n} \sum_i (p_i - y_i)^2`; 0 is perfect, 1/4 is a coin
    expected_error : :math:`\sum_b \frac{n_b}{n} |observed_b - predicted_b|`
    """

    predicted: Floats64
    observed: Floats64
    counts: Ints
    brier: float
    expected_error: float


def classification_scores(
    true_positive: npt.ArrayLike, p_positive: npt.ArrayLike, threshold: float = 0.5
) -> ClassificationScores:
    """Scores of a two-class prediction.

    true_positive : (n,) bool, whether the scan belongs to the positive class
    p_positive : (n,) predicted probability of the positive class; ``>= threshold`` is positive
    Raises ``BadDataError`` for an empty set or undefined probabilities.
    """
    truth, p = _two_class(true_positive, p_positive)
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
        auc=_auc(truth, p),
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
    if len(set(names)) != len(names) or len(names) < 2 or positive not in (None, *names):
        raise ValueError(f"classes must be two or more names with the positive one, got {names}")
    if p.shape != (len(true_classes), len(names)) or p.size == 0:
        raise BadDataError(
            f"Scores need a probability of each of {len(names)} classes a scan, got {p.shape} for "
            f"{len(true_classes)} scans",
            fix="check that the set holds scans and each has a prediction",
        )
    if not np.isfinite(p).all():
        raise BadDataError("A predicted probability is not finite", fix="train the model again")
    unknown = sorted(set(true_classes) - set(names))
    if unknown:
        raise BadDataError(
            f"Class '{unknown[0]}' is not one of {', '.join(names)}",
            fix="leave its scans out, or name the class in the study",
        )
    truth: Ints = np.array([names.index(name) for name in true_classes], dtype=np.int64)
    predicted = _most_probable(p, names, positive)
    confusion: Ints = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(confusion, (truth, predicted), 1)
    recalls = _mean([_share(row[i], row.sum()) for i, row in enumerate(confusion)])
    areas = [_auc(truth == i, p[:, i]) for i in range(len(names))]
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


def summarise(
    scores: Sequence[ClassificationScores | MulticlassScores], measures: Sequence[str] = MEASURES
) -> dict[str, Summary | None]:
    """Mean, sd and 2.5/97.5 percentiles (linear) of each measure over repetitions.

    measures : names of fields, such as ``MEASURES`` or ``MULTICLASS_MEASURES``
    Repetitions in which a measure is None are left out; None where no repetition has it.
    """
    return {name: summarise_values([getattr(score, name) for score in scores]) for name in measures}


def summarise_values(values: Sequence[float | None]) -> Summary | None:
    """Summary of one measure over repetitions; None among ``values`` is left out."""
    known: Floats64 = np.array([value for value in values if value is not None], dtype=np.float64)
    if not known.size:
        return None
    low, high = np.percentile(known, [2.5, 97.5])
    return Summary(
        mean=float(known.mean()),
        sd=float(known.std(ddof=1)) if known.size > 1 else None,
        percentile_2_5=float(low),
        percentile_97_5=float(high),
        n=known.size,
    )


def fpr_grid(n: int = 101) -> Floats64:
    """False positive rates 0 … 1 (n,), evenly spaced, to compare ROC curves at."""
    return np.linspace(0.0, 1.0, n)


def roc_on_grid(
    true_positive: npt.ArrayLike, p_positive: npt.ArrayLike, grid: Floats64
) -> Floats64 | None:
    """True positive rate (m,) of a two-class prediction at the false positive rates ``grid``.

    true_positive, p_positive : (n,) as for :func:`classification_scores`
    grid : (m,) between 0 and 1
    The curve is straight between its corners (equal probabilities of both classes make a slope),
    so that the area under it is the AUC; where it is upright, its upper end counts. None where
    a class does not occur.
    """
    truth, p = _two_class(true_positive, p_positive)
    if truth.all() or not truth.any():
        return None
    _, group = np.unique(-p, return_inverse=True)
    steps = np.stack(
        [
            np.bincount(group[~truth], minlength=group.max() + 1),
            np.bincount(group[truth], minlength=group.max() + 1),
        ]
    )
    corners = np.pad(np.cumsum(steps, axis=1), ((0, 0), (1, 0)))
    fpr, tpr = corners / corners[:, -1:]
    # a grid point that should equal a corner may miss it by rounding
    after = np.searchsorted(fpr, np.asarray(grid) + 1e-12, side="right")
    left, right = after - 1, np.minimum(after, fpr.size - 1)
    width = np.where(right > left, fpr[right] - fpr[left], 1.0)
    share = np.clip((grid - fpr[left]) / width, 0.0, 1.0)
    curve: Floats64 = tpr[left] + share * (tpr[right] - tpr[left])
    return curve


def roc_band(curves: Sequence[Floats64], grid: Floats64) -> RocBand:
    """Mean and 2.5/97.5 percentiles of ROC curves over repetitions, rate by rate.

    curves : one (m,) a repetition, of :func:`roc_on_grid` at ``grid`` (m,)
    Raises ``ValueError`` for no curve or one of another grid.
    """
    stack: Floats64 = np.array(curves, dtype=np.float64)
    if stack.ndim != 2 or stack.shape[1:] != grid.shape:
        raise ValueError(f"curves {stack.shape} do not fit a grid {grid.shape}")
    low, high = np.percentile(stack, [2.5, 97.5], axis=0)
    return RocBand(
        fpr=grid, mean=stack.mean(axis=0), percentile_2_5=low, percentile_97_5=high, n=len(stack)
    )


def calibration(
    true_positive: npt.ArrayLike, p_positive: npt.ArrayLike, n_bins: int = 10
) -> Calibration:
    """Reliability curve with bins of equal count, Brier score and expected calibration error.

    true_positive : (n,) bool
    p_positive : (n,) predicted probability of the positive class, in [0, 1]
    n_bins : bins; equal probabilities stay in one bin (by their midrank), so counts may differ
        and bins may be fewer

    Source: Brier 1950, Mon. Weather Rev. 78, 1-3; Naeini et al. 2015, AAAI (error over bins).
    Raises ``BadDataError`` for an empty set or numbers that are no probabilities.
    """
    truth, p = _two_class(true_positive, p_positive)
    if p.min() < 0 or p.max() > 1:
        raise BadDataError(
            f"Probabilities reach from {p.min():g} to {p.max():g}", fix="give values from 0 to 1"
        )
    if n_bins < 1:
        raise ValueError(f"{n_bins} bins")
    _, inverse, equal = np.unique(p, return_inverse=True, return_counts=True)
    places = 2 * np.cumsum(equal) - equal  # twice the midrank, less 1: whole numbers
    _, bins = np.unique((places * n_bins // (2 * p.size))[inverse], return_inverse=True)
    counts: Ints = np.bincount(bins).astype(np.int64)
    predicted: Floats64 = np.bincount(bins, weights=p) / counts
    observed: Floats64 = np.bincount(bins, weights=truth) / counts
    return Calibration(
        predicted=predicted,
        observed=observed,
        counts=counts,
        brier=float(np.mean((p - truth) ** 2)),
        expected_error=float((counts * np.abs(observed - predicted)).sum() / p.size),
    )


def _two_class(true_positive: npt.ArrayLike, p_positive: npt.ArrayLike) -> tuple[Bools, Floats64]:
    truth: Bools = np.asarray(true_positive, dtype=bool)
    p: Floats64 = np.asarray(p_positive, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != p.shape or truth.size == 0:
        raise BadDataError(
            f"Scores need one probability a scan, got {p.shape} for {truth.shape}",
            fix="check that the set holds scans and each has a prediction",
        )
    if not np.isfinite(p).all():
        raise BadDataError("A predicted probability is not finite", fix="train the model again")
    return truth, p


def _most_probable(p: Floats64, names: tuple[str, ...], positive: str | None) -> Ints:
    """Column (n,) of the largest probability; of equal ones the positive class, else the first."""
    predicted: Ints = p.argmax(axis=1).astype(np.int64)
    if positive is not None:
        predicted[p[:, names.index(positive)] == p.max(axis=1)] = names.index(positive)
    return predicted


def _auc(truth: Bools, p: Floats64) -> float | None:
    """Area under the ROC curve from midranks (Mann-Whitney U); None if a class does not occur."""
    n_positive = int(truth.sum())
    if n_positive in (0, truth.size):
        return None
    _, inverse, counts = np.unique(p, return_inverse=True, return_counts=True)
    midranks = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = float(midranks[inverse][truth].sum())
    u = rank_sum - n_positive * (n_positive + 1) / 2
    return float(u / (n_positive * (truth.size - n_positive)))


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def _mean(values: Sequence[float | None]) -> float | None:
    """Mean; None if one of the values is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
