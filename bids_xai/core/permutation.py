"""Pearson's r of many pairs of variables, all tested with the same permutations."""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial

import numpy as np

from bids_xai.arrays import Floats64
from bids_xai.core.comparisons import CorrelationTest, pearson_permutation
from bids_xai.errors import BadDataError

PERMUTATIONS = 10_000
_ROUNDING = 1e-12
_BLOCK = 1000  # permutations at a time
_NO_EXACT_FROM = 20


@dataclass(frozen=True, kw_only=True)
class CorrelationTests:
    """Pearson's r (m,) and its two-sided permutation p (m,), NaN where a variable does not vary.

    n : pairs of each; n_permutations : orders tried; exact : whether these were all there are
    """

    r: Floats64
    p_value: Floats64
    n: int
    n_permutations: int
    exact: bool


def pearson_permutations(
    x: Floats64, y: Floats64, *, permutations: int = PERMUTATIONS, seed: int = 0
) -> CorrelationTests:
    r"""Correlate column by column: x (n, m) with y (n, m) or, where y is the same for all, (n,).

    permutations : orders of the rows of ``y``, drawn once and used for all columns; where there
        are no more orders than that, all are taken, as :func:`pearson_permutation` does
    The p value is :math:`(1 + k) / (1 + N)` with k of N drawn orders at least as far from zero.

    Source: as :func:`pearson_permutation`.
    Raises ``BadDataError`` for values that are not finite or come in different numbers.
    """
    if permutations < 1:
        raise ValueError(f"{permutations} permutations")
    both = np.broadcast_to(y[:, None], x.shape) if y.ndim == 1 and y.size == len(x) else y
    if x.ndim != 2 or both.shape != x.shape or not (np.isfinite(x) & np.isfinite(both)).all():
        raise BadDataError(
            f"Variables of shapes {x.shape} and {y.shape} differ in shape or are not finite",
            fix="exclude scans with missing values",
        )
    n = len(x)
    if n < _NO_EXACT_FROM and factorial(n) <= permutations:
        return _exact(x, both, permutations)
    first, second = _centred(x), _centred(both)
    r = (first * second).sum(axis=0)
    least = np.abs(r) - _ROUNDING
    rng = np.random.default_rng(seed)
    k = np.zeros(x.shape[1], dtype=np.int64)
    for start in range(0, permutations, _BLOCK):
        size = min(_BLOCK, permutations - start)
        orders = rng.permuted(np.tile(np.arange(n), (size, 1)), axis=1)
        if y.ndim == 1:
            k += (np.abs(second[:, 0][orders] @ first) >= least).sum(axis=0)
            continue
        for column in range(x.shape[1]):
            others = second[:, column][orders] @ first[:, column]
            k[column] += int((np.abs(others) >= least[column]).sum())
    p = (1 + k) / (1 + permutations)
    varies = first.any(axis=0) & second.any(axis=0)
    return CorrelationTests(
        r=np.where(varies, np.clip(r, -1, 1), np.nan),
        p_value=np.where(varies, p, np.nan),
        n=n,
        n_permutations=permutations,
        exact=False,
    )


def _exact(x: Floats64, y: Floats64, permutations: int) -> CorrelationTests:
    tests: list[CorrelationTest] = [
        pearson_permutation(x[:, column], y[:, column], permutations=permutations)
        for column in range(x.shape[1])
    ]
    return CorrelationTests(
        r=np.array([np.nan if test.r is None else test.r for test in tests]),
        p_value=np.array([np.nan if test.p_value is None else test.p_value for test in tests]),
        n=len(x),
        n_permutations=factorial(len(x)),
        exact=True,
    )


def _centred(values: Floats64) -> Floats64:
    """Columns minus their mean, at unit length; all zero for one that does not vary."""
    centred: Floats64 = values - values.mean(axis=0)
    flat = np.ptp(values, axis=0) <= _ROUNDING * np.abs(values).max(axis=0)
    centred[:, flat] = 0.0
    length = np.linalg.norm(centred, axis=0)
    unit: Floats64 = centred / np.where(length > 0, length, 1.0)
    return unit
