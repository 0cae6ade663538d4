"""ROC curves at common false positive rates, and their band over repetitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_xai.arrays import Floats64
from bids_xai.core.scores.two_classes import two_class_arrays


@dataclass(frozen=True, kw_only=True)
class RocBand:
    """ROC curves of ``n`` repetitions at the same false positive rates, every field (m,)."""

    fpr: Floats64
    mean: Floats64
    percentile_2_5: Floats64
    percentile_97_5: Floats64
    n: int


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
    truth, p = two_class_arrays(true_positive, p_positive)
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
