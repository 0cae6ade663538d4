"""How good is a classifier: scores of one test set, of repetitions, and paired comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
import numpy.typing as npt

from bids_xai.errors import BadDataError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MEASURES = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "auc")


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
class Summary:
    """One measure over repetitions; ``n`` of them had it, ``sd`` has n - 1 in its divisor."""

    mean: float
    sd: float | None
    percentile_2_5: float
    percentile_97_5: float
    n: int


def classification_scores(
    true_positive: npt.ArrayLike, p_positive: npt.ArrayLike, threshold: float = 0.5
) -> ClassificationScores:
    """Scores of a two-class prediction.

    true_positive : (n,) bool, whether the scan belongs to the positive class
    p_positive : (n,) predicted probability of the positive class; ``>= threshold`` is positive
    Raises ``BadDataError`` for an empty set or undefined probabilities.
    """
    truth: Bools = np.asarray(true_positive, dtype=bool)
    p: Floats = np.asarray(p_positive, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != p.shape or truth.size == 0:
        raise BadDataError(
            f"Scores need one probability a scan, got {p.shape} for {truth.shape}",
            fix="check that the set holds scans and each has a prediction",
        )
    if not np.isfinite(p).all():
        raise BadDataError("A predicted probability is not finite", fix="train the model again")
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
        auc=_auc(truth, p) if both else None,
        tp=tp,
        fp=fp,
        tn=tn,
        fn=fn,
    )


def summarise(scores: Sequence[ClassificationScores]) -> dict[str, Summary | None]:
    """Mean, sd and 2.5/97.5 percentiles (linear) of each measure over repetitions.

    Repetitions in which a measure is None are left out; None where no repetition has it.
    """
    return {name: _summary([getattr(score, name) for score in scores]) for name in MEASURES}


def mcnemar_exact(correct_a: npt.ArrayLike, correct_b: npt.ArrayLike) -> float:
    """Two-sided exact McNemar p of two classifiers on the same scans.

    correct_a, correct_b : (n,) bool, whether each got the scan right.
    Binomial test of the scans that exactly one got right, at 1/2; 1 where there are none.
    """
    a, b = np.asarray(correct_a, dtype=bool), np.asarray(correct_b, dtype=bool)
    if a.shape != b.shape:
        raise ValueError(f"paired outcomes of shapes {a.shape} and {b.shape}")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    n = only_a + only_b
    tail = sum(comb(n, k) for k in range(min(only_a, only_b) + 1))
    return min(1.0, float(2 * tail / 2**n))


def holm(p_values: npt.ArrayLike) -> Floats:
    """Holm's step-down adjusted p values (n,), in the order of the input.

    Source: Holm 1979, Scand. J. Statist. 6, 65-70.
    """
    p: Floats = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p values must be one row of numbers between 0 and 1")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    adjusted: Floats = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def _auc(truth: Bools, p: Floats) -> float:
    """Area under the ROC curve from midranks (Mann-Whitney U); both classes must occur."""
    _, inverse, counts = np.unique(p, return_inverse=True, return_counts=True)
    midranks = np.cumsum(counts) - (counts - 1) / 2
    n_positive = int(truth.sum())
    rank_sum = float(midranks[inverse][truth].sum())
    u = rank_sum - n_positive * (n_positive + 1) / 2
    return float(u / (n_positive * (truth.size - n_positive)))


def _summary(values: Sequence[float | None]) -> Summary | None:
    known: Floats = np.array([value for value in values if value is not None], dtype=np.float64)
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
