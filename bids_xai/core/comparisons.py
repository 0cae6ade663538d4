"""Are two classifiers different, are two measures related: exact and permutation tests."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations as all_permutations
from math import comb, erfc, factorial, sqrt

import numpy as np
import numpy.typing as npt

from bids_xai.arrays import Floats64, Ints
from bids_xai.errors import BadDataError

LARGEST_EXACT_N = 50
"""Up to so many differences that are not zero, Wilcoxon's test counts all their signs."""

_ROUNDING = 1e-12  # of the largest value: differences closer than this are equal


@dataclass(frozen=True, kw_only=True)
class WilcoxonTest:
    """Wilcoxon's signed-rank test of paired values.

    w_plus, w_minus : sums of the ranks of positive and negative differences, ties at midranks
    n : differences that are not zero; the zeros, ``n_zero``, are left out
    p_value : two-sided; 1 where all differences are zero
    exact : whether the p value counts all 2^n signs; else it is the normal approximation
    """

    w_plus: float
    w_minus: float
    n: int
    n_zero: int
    p_value: float
    exact: bool


@dataclass(frozen=True, kw_only=True)
class CorrelationTest:
    """Pearson's r with its permutation p; both None where a variable does not vary.

    n : pairs
    n_permutations : orders tried
    exact : whether these were all orders there are
    """

    r: float | None
    p_value: float | None
    n: int
    n_permutations: int
    exact: bool


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


def holm(p_values: npt.ArrayLike) -> Floats64:
    """Holm's step-down adjusted p values (n,), in the order of the input.

    Source: Holm 1979, Scand. J. Statist. 6, 65-70.
    """
    p: Floats64 = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p values must be one row of numbers between 0 and 1")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    adjusted: Floats64 = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def wilcoxon_signed_rank(a: npt.ArrayLike, b: npt.ArrayLike) -> WilcoxonTest:
    r"""Two-sided Wilcoxon signed-rank test of paired values, such as accuracies over splits.

    a, b : (n,) finite, the same unit; differences within rounding of each other are ties, and
        zeros are left out (Wilcoxon's way; their number is returned)
    Up to 50 differences the p value is exact, with ties too: the share of the 2^n signs of the
    midranks that are as extreme. Beyond, it is normal with

    .. math:: \sigma^2 = n (n + 1) (2 n + 1) / 24 - \sum_t (t^3 - t) / 48

    over ties of t differences, without continuity correction.

    Source: Wilcoxon 1945, Biometrics 1, 80-83; klingenberg2021 (between kinds of registration).
    Raises ``BadDataError`` for values that are not finite or come in different numbers.
    """
    x, y = _pairs(a, b)
    difference = x - y
    scale = max(np.abs(x).max(initial=0), np.abs(y).max(initial=0))
    difference = np.round(difference / scale, 12) if scale > 0 else difference
    difference[np.abs(difference) < _ROUNDING] = 0.0
    signed: Floats64 = difference[difference != 0]
    doubled, ties = _doubled_midranks(np.abs(signed))
    plus, total = int(doubled[signed > 0].sum()), int(doubled.sum())
    exact = signed.size <= LARGEST_EXACT_N
    smaller = min(plus, total - plus)
    p = _exact_tail(doubled, smaller) if exact else _normal_tail(signed.size, ties, smaller / 2)
    return WilcoxonTest(
        w_plus=plus / 2,
        w_minus=(total - plus) / 2,
        n=signed.size,
        n_zero=difference.size - signed.size,
        p_value=min(1.0, p),
        exact=exact,
    )


def pearson_permutation(
    x: npt.ArrayLike, y: npt.ArrayLike, *, permutations: int = 10_000, seed: int = 0
) -> CorrelationTest:
    r"""Pearson's r of two variables and its two-sided permutation p.

    x, y : (n,) finite, any units
    permutations : orders of ``y`` drawn at random; where there are no more than that, all are
        taken and nothing is drawn
    The p value is :math:`(1 + k) / (1 + N)` with k of N drawn orders at least as far from zero as
    the data, and k / N over all orders, of which the data's own is one.

    Source: boehle2019 (relevance and volume of the hippocampus); Phipson and Smyth 2010, Stat.
    Appl. Genet. Mol. Biol. 9, 39 (the 1).
    Raises ``BadDataError`` for values that are not finite or come in different numbers.
    """
    if permutations < 1:
        raise ValueError(f"{permutations} permutations")
    first, second = (_centred(values) for values in _pairs(x, y))
    n = first.size
    exact = n < 20 and factorial(n) <= permutations
    if not first.any() or not second.any():
        return CorrelationTest(r=None, p_value=None, n=n, n_permutations=0, exact=False)
    r = float(np.clip(first @ second, -1, 1))
    if exact:
        orders: Ints = np.array(list(all_permutations(range(n))), dtype=np.int64)
        k, drawn = int((np.abs(second[orders] @ first) >= abs(r) - _ROUNDING).sum()), len(orders)
        p = k / drawn
    else:
        rng, drawn = np.random.default_rng(seed), permutations
        others = np.array([rng.permutation(second) @ first for _ in range(drawn)])
        p = (1 + int((np.abs(others) >= abs(r) - _ROUNDING).sum())) / (1 + drawn)
    return CorrelationTest(r=r, p_value=p, n=n, n_permutations=drawn, exact=exact)


def _pairs(a: npt.ArrayLike, b: npt.ArrayLike) -> tuple[Floats64, Floats64]:
    x: Floats64 = np.asarray(a, dtype=np.float64)
    y: Floats64 = np.asarray(b, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise BadDataError(
            f"Paired values of shapes {x.shape} and {y.shape}", fix="give two values per pair"
        )
    bad = int((~np.isfinite(x) | ~np.isfinite(y)).sum())
    if bad:
        raise BadDataError(
            f"{bad} of {x.size} pairs have a value that is not finite",
            fix="leave pairs with missing values out",
        )
    return x, y


def _doubled_midranks(values: Floats64) -> tuple[Ints, Ints]:
    """Twice the midrank of each value (n,), a whole number, and the sizes of ties."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    doubled: Ints = (2 * np.cumsum(counts) - counts + 1).astype(np.int64)[inverse]
    return doubled, counts.astype(np.int64)


def _exact_tail(doubled: Ints, smaller: int) -> float:
    """Twice the probability that chance signs give ``smaller`` or less (doubled rank sums).

    ``counts[s]`` is the number of subsets of ranks that sum to s; each rank in turn is in or not.
    """
    counts = [1] + [0] * int(doubled.sum())
    reached = 0
    for rank in doubled.tolist():
        reached += rank
        for s in range(reached, rank - 1, -1):
            counts[s] += counts[s - rank]
    return float(2 * sum(counts[: smaller + 1]) / 2**doubled.size)


def _normal_tail(n: int, ties: Ints, smaller: float) -> float:
    variance = n * (n + 1) * (2 * n + 1) / 24 - float((ties**3 - ties).sum()) / 48
    z = (n * (n + 1) / 4 - smaller) / sqrt(variance)
    return erfc(z / sqrt(2))


def _centred(values: Floats64) -> Floats64:
    """Minus the mean, at unit length; all zero for a variable that does not vary."""
    if values.size < 2 or np.ptp(values) <= _ROUNDING * np.abs(values).max():
        return np.zeros_like(values)
    centred = values - values.mean()
    result: Floats64 = centred / np.linalg.norm(centred)
    return result
