"""Scores over repetitions: mean, standard deviation, percentiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bids_xai.arrays import Floats64
from bids_xai.core.scores.classification import MEASURES, ClassificationScores, MulticlassScores


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One measure over repetitions; ``n`` of them had it, ``sd`` has n - 1 in its divisor."""

    mean: float
    sd: float | None
    percentile_2_5: float
    percentile_97_5: float
    n: int


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
    defined: Floats64 = np.array([value for value in values if value is not None], dtype=np.float64)
    if not defined.size:
        return None
    low, high = np.percentile(defined, [2.5, 97.5])
    return Summary(
        mean=float(defined.mean()),
        sd=float(defined.std(ddof=1)) if defined.size > 1 else None,
        percentile_2_5=float(low),
        percentile_97_5=float(high),
        n=defined.size,
    )
