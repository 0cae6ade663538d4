"""Truth and probability of the positive class as arrays, and the area under their ROC curve."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_xai.arrays import Bools, Floats64
from bids_xai.errors import BadDataError


def two_class_arrays(
    true_positive: npt.ArrayLike, p_positive: npt.ArrayLike
) -> tuple[Bools, Floats64]:
    """Return whether scans are positive (n,) and how probable that is (n,).

    Raises ``BadDataError`` for an empty set, other shapes, or probabilities that are not finite.
    """
    truth: Bools = np.asarray(true_positive, dtype=bool)
    p: Floats64 = np.asarray(p_positive, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != p.shape or truth.size == 0:
        raise BadDataError(
            f"Scores need one probability per scan, got {p.shape} for {truth.shape}",
            fix="check that the set contains scans and each has a prediction",
        )
    if not np.isfinite(p).all():
        raise BadDataError("A predicted probability is not finite", fix="train the model again")
    return truth, p


def area_under_curve(truth: Bools, p: Floats64) -> float | None:
    """Area under the ROC curve from midranks (Mann-Whitney U); None if a class does not occur."""
    n_positive = int(truth.sum())
    if n_positive in (0, truth.size):
        return None
    _, inverse, counts = np.unique(p, return_inverse=True, return_counts=True)
    midranks = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = float(midranks[inverse][truth].sum())
    u = rank_sum - n_positive * (n_positive + 1) / 2
    return float(u / (n_positive * (truth.size - n_positive)))
