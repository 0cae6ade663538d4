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
from itertools import combinations, islice
from math import comb, sqrt

import numpy as np
import numpy.typing as npt
from scipy.stats import fisher_exact, rankdata

from bids_xai.arrays import Bools, Floats64, Ints

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
    effect_within : as ``effect_size``, from comparisons within strata alone; None as ``p_within``
    """

    test: str
    statistic: float
    effect_size: float
    p: float
    p_within: float | None
    effect_within: float | None


def benjamini_hochberg(p_values: npt.ArrayLike) -> Floats64:
    """False-discovery rates (n,) of p values, in their order."""
    p: Floats64 = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p values must be one row of numbers between 0 and 1")
    order = np.argsort(p, kind="stable")[::-1]
    stepped = np.minimum.accumulate(p[order] * p.size / np.arange(p.size, 0, -1))
    adjusted: Floats64 = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def text_test(
    member: Bools, codes: Ints, strata: Ints, *, permutations: int = PERMUTATIONS, seed: int = 0
) -> GroupTest:
    """Test a group against text, given as numbers from 0.

    member, codes, strata : (n,); at least one member, one other and two codes
    """
    n_codes = int(codes.max()) + 1
    table = np.stack(
        [np.bincount(codes[member == side], minlength=n_codes) for side in (True, False)]
    )
    chi2 = _chi_squared(member, codes, np.zeros_like(codes))
    effect = sqrt(chi2 / member.size)
    rng = np.random.default_rng(seed)
    if n_codes == 2:
        a, b, c, d = (table + 0.5).ravel()
        name, statistic = "Fisher exact", float(a * d / (b * c))
        p = float(fisher_exact(table)[1])
    else:
        name, statistic = "chi-squared, permutations", chi2
        p = _table_p(member, codes, np.zeros_like(codes), permutations, rng) or 1.0
    p_within = _table_p(member, codes, strata, permutations, rng)
    free = _in_mixed_strata(member, strata)
    effect_within = (
        None
        if p_within is None
        else sqrt(_chi_squared(member[free], codes[free], strata[free]) / free.sum())
    )
    return GroupTest(name, statistic, effect, p, p_within, effect_within)


def _chi_squared(member: Bools, codes: Ints, strata: Ints) -> float:
    """χ² of the table members and others × codes, its expectations summed over strata."""
    table, expected = np.zeros((2, codes.max() + 1)), np.zeros((2, codes.max() + 1))
    for stratum in np.unique(strata):
        inside = strata == stratum
        counts = np.stack(
            [
                np.bincount(codes[inside & (member == side)], minlength=table.shape[1])
                for side in (True, False)
            ]
        )
        table += counts
        expected += counts.sum(axis=1)[:, None] * counts.sum(axis=0) / counts.sum()
    return float(((table - expected) ** 2 / np.where(expected > 0, expected, 1)).sum())


def _in_mixed_strata(member: Bools, strata: Ints) -> Bools:
    """Which units (n,) are of a stratum that has members and others."""
    _, codes = np.unique(strata, return_inverse=True)
    share = np.bincount(codes, weights=member) / np.bincount(codes)
    mixed: Bools = ((share > 0) & (share < 1))[codes]
    return mixed


def _table_p(
    member: Bools, codes: Ints, strata: Ints, permutations: int, rng: np.random.Generator
) -> float | None:
    """Permutation p of the table within strata; None where nothing can change places.

    Members of a stratum are drawn from it without replacement, all at once as a table.
    """
    n_codes = int(codes.max()) + 1
    seen, expected, free = np.zeros(n_codes), np.zeros(n_codes), False
    draws: list[tuple[Ints, int]] = []
    for stratum in np.unique(strata):
        inside = strata == stratum
        counts = np.bincount(codes[inside], minlength=n_codes)
        size = int(member[inside].sum())
        free = free or bool(0 < size < inside.sum() and np.count_nonzero(counts) > 1)
        seen += np.bincount(codes[inside & member], minlength=n_codes)
        draws.append((counts, size))
        expected += counts * size / inside.sum()
    if not free:
        return None
    weight = 1 / np.where(expected > 0, expected, 1)
    truth = float(((seen - expected) ** 2 * weight).sum())
    hits, left = 0, permutations
    while left:
        now = min(left, max(1, _CHUNK // n_codes))
        drawn = np.zeros((now, n_codes))
        for counts, size in draws:
            drawn += rng.multivariate_hypergeometric(counts, size, size=now)
        others = ((drawn - expected) ** 2 * weight).sum(axis=1)
        hits += int(np.count_nonzero(others >= truth - _ROUNDING))
        left -= now
    return (1 + hits) / (1 + permutations)


def rank_tests(
    member: Bools,
    values: Floats64,
    strata: Ints,
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> list[GroupTest]:
    """Test a group against several numbers at once, with the same permutations for all.

    member, strata : (n,); at least one member and one other; values : (n, q) finite
    Where there are no more ways to choose the group than ``permutations``, all are tried.
    """
    n, size = member.size, int(member.sum())
    ranks = rankdata(values, axis=0)
    sums = ranks[member].sum(axis=0)
    above = sums - size * (size + 1) / 2  # pairs in which the member has the higher value
    effects = 2 * above / (size * (n - size)) - 1
    rng = np.random.default_rng(seed)
    p = _rank_p(member, ranks, np.zeros_like(strata), permutations, rng)
    scores, free = _scores_within(member, values, strata)
    within = _rank_p(member, scores, strata, permutations, rng)
    effects_within = _effects_within(member, values, strata)
    return [
        GroupTest(
            "Mann-Whitney, permutations",
            float(above[i]),
            float(effects[i]),
            float(p[i]),
            float(within[i]) if free[i] else None,
            float(effects_within[i]) if free[i] else None,
        )
        for i in range(values.shape[1])
    ]


def _effects_within(member: Bools, values: Floats64, strata: Ints) -> Floats64:
    """Rank-biserial correlations (q,) over the pairs of a member and another of one stratum."""
    above, pairs = np.zeros(values.shape[1]), 0
    for stratum in np.unique(strata):
        inside = strata == stratum
        of_group = member[inside]
        size, others = int(of_group.sum()), int((~of_group).sum())
        sums = rankdata(values[inside], axis=0)[of_group].sum(axis=0)
        above += sums - size * (size + 1) / 2
        pairs += size * others
    effects: Floats64 = 2 * above / max(pairs, 1) - 1
    return effects


def _scores_within(member: Bools, values: Floats64, strata: Ints) -> tuple[Floats64, Bools]:
    """Ranks within strata over their size + 1, centred (n, q); and whether anything is free (q,).

    Strata in which nothing can change places count as 0.
    """
    scores, free = np.zeros(values.shape), np.zeros(values.shape[1], dtype=bool)
    for stratum in np.unique(strata):
        inside = strata == stratum
        if not 0 < member[inside].sum() < inside.sum():
            continue
        ranks = rankdata(values[inside], axis=0)
        scores[inside] = (ranks - ranks.mean(axis=0)) / (inside.sum() + 1)
        free |= np.ptp(ranks, axis=0) > 0
    return scores, free


def _rank_p(
    member: Bools, scores: Floats64, strata: Ints, permutations: int, rng: np.random.Generator
) -> Floats64:
    """Two-sided permutation p (q,) of the sum of the members' scores (n, q), within strata."""
    centre = np.zeros(scores.shape[1])
    for stratum in np.unique(strata):
        inside = strata == stratum
        centre += scores[inside].mean(axis=0) * member[inside].sum()
    truth = np.abs(scores[member].sum(axis=0) - centre)
    limit = truth - _ROUNDING * (1 + np.abs(centre))
    hits, tried = np.zeros(scores.shape[1]), 0
    n_groups = comb(member.size, int(member.sum())) if np.ptp(strata) == 0 else permutations + 1
    for sums in _sums(member, scores, strata, n_groups <= permutations, permutations, rng):
        hits += np.count_nonzero(np.abs(sums - centre) >= limit, axis=0)
        tried += len(sums)
    return hits / tried if n_groups <= permutations else (1 + hits) / (1 + tried)


def _sums(
    member: Bools,
    scores: Floats64,
    strata: Ints,
    every: bool,
    permutations: int,
    rng: np.random.Generator,
) -> Iterator[Floats64]:
    """Sums (m, q) of the scores of groups chosen at random, or of every possible group."""
    if every:
        size = int(member.sum())
        groups = combinations(range(member.size), size)
        step = max(1, _CHUNK // (size * scores.shape[1]))
        while batch := list(islice(groups, step)):
            yield scores[np.array(batch, dtype=np.int64)].sum(axis=1)
        return
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    left = permutations
    while left:
        now = min(left, max(1, _CHUNK // member.size))
        drawn = np.zeros((now, member.size))
        for inside in members:
            size = int(member[inside].sum())
            if size == 0:
                continue
            keys = rng.random((now, inside.size))
            picked = np.argpartition(keys, size - 1, axis=1)[:, :size]
            np.put_along_axis(drawn, inside[picked], 1.0, axis=1)
        yield drawn @ scores
        left -= now
