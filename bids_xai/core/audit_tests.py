"""Does belonging to a group go with a covariate? Exact and permutation tests, also within strata.

A group is a truth value a unit. Text is tested by its table, numbers by their ranks. Within strata
(such as the diagnosis) only units of the same stratum change places: what the group owes to the
stratum alone does not count.

Source: Fisher 1935; Mann and Whitney 1947; van Elteren 1960 (ranks within strata); Mantel and
Haenszel 1959 (tables within strata); Phipson and Smyth 2010 (the 1 in permutation p values);
Benjamini and Hochberg 1995.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb, sqrt

import numpy as np
import numpy.typing as npt
from scipy.stats import fisher_exact, rankdata

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

PERMUTATIONS = 19_999

_ROUNDING = 1e-9
_CHUNK = 2_000_000  # random numbers at once


@dataclass(frozen=True)
class GroupTest:
    """A test of one group against one covariate.

    statistic : odds ratio (2 × 2 table, halves added), χ² (larger tables), or U of Mann-Whitney
    effect_size : Cramér's V (0 to 1), or the rank-biserial correlation (-1 to 1; positive where
        the group has higher values)
    p : of the group as such; p_within : within strata, None where no stratum has both members and
        others with different values
    """

    test: str
    statistic: float
    effect_size: float
    p: float
    p_within: float | None


def benjamini_hochberg(p_values: npt.ArrayLike) -> Floats:
    """False-discovery rates (n,) of p values, in their order."""
    p: Floats = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p values must be one row of numbers between 0 and 1")
    order = np.argsort(p, kind="stable")[::-1]
    stepped = np.minimum.accumulate(p[order] * p.size / np.arange(p.size, 0, -1))
    adjusted: Floats = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def text_test(
    member: Bools, codes: Ints, strata: Ints, *, permutations: int = PERMUTATIONS, seed: int = 0
) -> GroupTest:
    """Test a group against text, given as numbers from 0.

    member, codes, strata : (n,); at least one member, one other and two codes
    """
    n_codes = int(codes.max()) + 1
    table = np.stack([np.bincount(codes[member == side], minlength=n_codes)
                      for side in (True, False)])  # fmt: skip
    expected = table.sum(axis=1)[:, None] * table.sum(axis=0) / table.sum()
    chi2 = float(((table - expected) ** 2 / np.where(expected > 0, expected, 1)).sum())
    effect = sqrt(chi2 / table.sum())
    rng = np.random.default_rng(seed)
    if n_codes == 2:
        a, b, c, d = (table + 0.5).ravel()
        name, statistic = "Fisher exact", float(a * d / (b * c))
        p = float(fisher_exact(table)[1])
    else:
        name, statistic = "chi-squared, permutations", chi2
        p = _table_p(member, codes, np.zeros_like(codes), permutations, rng) or 1.0
    return GroupTest(
        name, statistic, effect, p, _table_p(member, codes, strata, permutations, rng)
    )  # fmt: skip


def _table_p(
    member: Bools, codes: Ints, strata: Ints, permutations: int, rng: np.random.Generator
) -> float | None:
    """Permutation p of the table within strata; None where nothing can change places.

    Members of a stratum are drawn from it without replacement, all at once as a table.
    """
    n_codes = int(codes.max()) + 1
    seen, drawn = np.zeros(n_codes), np.zeros((permutations, n_codes))
    expected, free = np.zeros(n_codes), False
    for stratum in np.unique(strata):
        inside = strata == stratum
        counts = np.bincount(codes[inside], minlength=n_codes)
        size = int(member[inside].sum())
        free = free or bool(0 < size < inside.sum() and np.count_nonzero(counts) > 1)
        seen += np.bincount(codes[inside & member], minlength=n_codes)
        drawn += rng.multivariate_hypergeometric(counts, size, size=permutations)
        expected += counts * size / inside.sum()
    if not free:
        return None
    weight = 1 / np.where(expected > 0, expected, 1)
    truth = float(((seen - expected) ** 2 * weight).sum())
    others = ((drawn - expected) ** 2 * weight).sum(axis=1)
    return float((1 + np.count_nonzero(others >= truth - _ROUNDING)) / (1 + permutations))


def rank_tests(
    member: Bools,
    values: Floats,
    strata: Ints,
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> list[GroupTest]:
    """Test a group against several numbers at once, with the same permutations for all.

    member, strata : (n,); at least one member and one other; values : (n, q) finite
    Where there are no more ways to choose the group than ``permutations``, all are tried.
    """  # fmt: skip
    n, size = member.size, int(member.sum())
    ranks = rankdata(values, axis=0)
    sums = ranks[member].sum(axis=0)
    above = sums - size * (size + 1) / 2  # pairs in which the member has the higher value
    effects = 2 * above / (size * (n - size)) - 1
    rng = np.random.default_rng(seed)
    p = _rank_p(member, ranks, np.zeros_like(strata), permutations, rng)
    scores, free = _scores_within(member, values, strata)
    within = _rank_p(member, scores, strata, permutations, rng)
    return [
        GroupTest(
            "Mann-Whitney, permutations", float(above[i]), float(effects[i]), float(p[i]),
            float(within[i]) if free[i] else None,
        )
        for i in range(values.shape[1])
    ]  # fmt: skip


def _scores_within(member: Bools, values: Floats, strata: Ints) -> tuple[Floats, Bools]:
    """Ranks within strata over their size + 1, centred (n, q); and whether anything is free (q,).

    Strata in which nothing can change places count as 0.
    """
    scores, free = np.zeros(values.shape), np.zeros(values.shape[1], dtype=bool)
    for stratum in np.unique(strata):
        inside = strata == stratum
        if not 0 < member[inside].sum() < inside.sum():
            continue
        own = rankdata(values[inside], axis=0)
        scores[inside] = (own - own.mean(axis=0)) / (inside.sum() + 1)
        free |= np.ptp(own, axis=0) > 0
    return scores, free


def _rank_p(
    member: Bools, scores: Floats, strata: Ints, permutations: int, rng: np.random.Generator
) -> Floats:
    """Two-sided permutation p (q,) of the sum of the members' scores (n, q), within strata."""
    centre = np.zeros(scores.shape[1])
    for stratum in np.unique(strata):
        inside = strata == stratum
        centre += scores[inside].mean(axis=0) * member[inside].sum()
    truth = np.abs(scores[member].sum(axis=0) - centre)
    limit = truth - _ROUNDING * (1 + np.abs(centre))
    hits, tried = np.zeros(scores.shape[1]), 0
    ways = comb(member.size, int(member.sum())) if np.ptp(strata) == 0 else permutations + 1
    for sums in _sums(member, scores, strata, ways <= permutations, permutations, rng):
        hits += np.count_nonzero(np.abs(sums - centre) >= limit, axis=0)
        tried += len(sums)
    return hits / tried if ways <= permutations else (1 + hits) / (1 + tried)


def _sums(
    member: Bools, scores: Floats, strata: Ints, every: bool, permutations: int,
    rng: np.random.Generator,
) -> Iterator[Floats]:  # fmt: skip
    """Sums (m, q) of the scores of groups chosen at random, or of every possible group."""
    if every:
        ways = combinations(range(member.size), int(member.sum()))
        yield scores[np.array(list(ways), dtype=np.int64)].sum(axis=1)
        return
    places = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    left = permutations
    while left:
        now = min(left, max(1, _CHUNK // member.size))
        chosen = np.zeros((now, member.size))
        for inside in places:
            size = int(member[inside].sum())
            if size == 0:
                continue
            keys = rng.random((now, inside.size))
            picked = np.argpartition(keys, size - 1, axis=1)[:, :size]
            np.put_along_axis(chosen, inside[picked], 1.0, axis=1)
        yield chosen @ scores
        left -= now
