"""Do predicted probabilities come true: calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_xai.arrays import Floats64, Ints
from bids_xai.core.scores.two_classes import two_class_arrays
from bids_xai.errors import BadDataError


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
    truth, p = two_class_arrays(true_positive, p_positive)
    if p.min() < 0 or p.max() > 1:
        raise BadDataError(
            f"Probabilities range from {p.min():g} to {p.max():g}", fix="give values from 0 to 1"
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
