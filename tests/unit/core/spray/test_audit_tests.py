"""Tests of groups against scipy, slow permutations, and what they promise under chance."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from bids_xai.core.spray import audit_tests
from bids_xai.core.spray.audit_tests import benjamini_hochberg, rank_tests, text_test


def _none(n: int) -> np.ndarray:
    return np.zeros(n, np.int64)


def test_false_discovery_rates_are_those_of_scipy() -> None:
    p = np.array([0.01, 0.5, 0.03, 0.03, 1.0, 0.0004])
    np.testing.assert_allclose(benjamini_hochberg(p), stats.false_discovery_control(p))
    assert benjamini_hochberg([]).size == 0
    with pytest.raises(ValueError, match="between 0 and 1"):
        benjamini_hochberg([1.2])


def test_two_by_two_tables() -> None:
    member = np.repeat([True, True, False, False], [14, 3, 1, 12])
    codes = np.repeat([0, 1, 0, 1], [14, 3, 1, 12])
    found = text_test(member, codes, _none(30))
    odds, p = stats.fisher_exact([[14, 3], [1, 12]])
    assert found.test == "Fisher exact"
    assert found.p == pytest.approx(p)
    assert found.statistic == pytest.approx(14.5 * 12.5 / (3.5 * 1.5))
    chi2 = stats.chi2_contingency([[14, 3], [1, 12]], correction=False)[0]
    assert found.effect_size == pytest.approx(np.sqrt(chi2 / 30))
    assert found.p_within == pytest.approx(p, abs=1e-3)  # one stratum: the same question
    assert odds > 10


def test_larger_tables() -> None:
    rng = np.random.default_rng(0)
    member, codes = rng.random(60) < 0.4, rng.integers(4, size=60)
    found = text_test(member, codes, _none(60))
    chi2, p = stats.chi2_contingency(np.histogram2d(member, codes, bins=(2, 4))[0])[:2]
    assert found.statistic == pytest.approx(chi2)
    assert found.p == pytest.approx(p, abs=0.03)
    slow = []
    for _ in range(2000):
        shuffled = np.histogram2d(rng.permutation(member), codes, bins=(2, 4))[0]
        slow.append(stats.chi2_contingency(shuffled)[0] >= chi2 - 1e-9)
    assert found.p == pytest.approx(np.mean(slow), abs=0.03)


def test_ranks_of_few_units_are_exact() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(11, 2))
    values[:, 1] = np.round(values[:, 1])  # ties
    member = np.arange(11) < 4
    first, second = rank_tests(member, values, _none(11))
    true = stats.mannwhitneyu(values[:4, 0], values[4:, 0], method="exact")
    assert first.statistic == true.statistic
    assert first.p == pytest.approx(true.pvalue)
    assert first.effect_size == pytest.approx(2 * true.statistic / 28 - 1)
    ranks = stats.rankdata(values[:, 1])
    far = abs(ranks[:4].sum() - 4 * ranks.mean())
    slow = [
        abs(ranks[list(way)].sum() - 4 * ranks.mean()) >= far - 1e-9
        for way in combinations(range(11), 4)
    ]
    assert second.p == pytest.approx(np.mean(slow))


def test_ranks_of_many_units_are_sampled() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(90, 1))
    member = rng.random(90) < 0.4
    values[member] += 0.4
    found = rank_tests(member, values, _none(90))[0]
    true = stats.mannwhitneyu(values[member, 0], values[~member, 0])
    assert found.p == pytest.approx(true.pvalue, rel=0.25)
    assert found.p_within == pytest.approx(found.p, rel=0.25)


def test_within_strata_the_diagnosis_is_no_news() -> None:
    """Groups that follow the stratum, which the value follows, too: explained, and not."""
    rng = np.random.default_rng(3)
    strata = np.repeat([0, 1], 40)
    member = rng.random(80) < np.where(strata == 1, 0.85, 0.15)
    values = strata * 2.0 + rng.normal(size=80)
    plain = rank_tests(member, values[:, None], strata)[0]
    assert plain.p < 1e-3
    assert plain.p_within is not None
    assert plain.p_within > 0.05
    codes = (rng.random(80) < np.where(strata == 1, 0.9, 0.1)).astype(np.int64)
    table = text_test(member, codes, strata)
    assert table.p < 1e-3
    assert table.p_within is not None
    assert table.p_within > 0.05
    beyond = rank_tests(member, (member + 0.3 * rng.normal(size=80))[:, None], strata)[0]
    assert beyond.p_within is not None
    assert beyond.p_within < 1e-3


def test_effects_within_strata_are_those_of_comparisons_within_them() -> None:
    """By hand, pair by pair; and with one stratum the plain effect."""
    rng = np.random.default_rng(5)
    strata, member = rng.integers(3, size=50), rng.random(50) < 0.4
    values = rng.normal(size=50) + 3 * strata + member
    pairs = [
        np.sign(values[i] - values[j])
        for i in range(50)
        for j in range(50)
        if member[i] and not member[j] and strata[i] == strata[j]
    ]
    found = rank_tests(member, values[:, None], strata, permutations=99)[0]
    assert found.effect_within == pytest.approx(np.mean(pairs))
    plain = rank_tests(member, values[:, None], _none(50), permutations=99)[0]
    assert plain.effect_within == pytest.approx(plain.effect_size)
    codes = rng.integers(3, size=50)
    table = text_test(member, codes, _none(50), permutations=99)
    assert table.effect_within == pytest.approx(table.effect_size)


def test_what_the_strata_explain_is_no_effect_within_them() -> None:
    strata = np.repeat([0, 1], 400)
    rng = np.random.default_rng(6)
    member = rng.random(800) < np.where(strata == 1, 0.9, 0.1)
    values = (3.0 * strata + rng.normal(size=800))[:, None]
    ranks = rank_tests(member, values, strata, permutations=99)[0]
    assert ranks.effect_size > 0.7
    assert abs(ranks.effect_within or 0) < 0.15
    codes = (rng.random(800) < np.where(strata == 1, 0.9, 0.1)).astype(np.int64)
    table = text_test(member, codes, strata, permutations=99)
    assert table.effect_size > 0.5
    assert (table.effect_within or 1) < 0.15
    # the diagnosis hides an effect of the other sign
    hidden = (np.where(member, -1.5, 1.5) + 2.4 * strata + rng.normal(size=800))[:, None]
    ranks = rank_tests(member, hidden, strata, permutations=99)[0]
    assert abs(ranks.effect_size) < 0.45
    assert (ranks.effect_within or 0) < -0.9


def test_a_stratum_of_members_alone_says_nothing() -> None:
    strata = np.array([0] * 10 + [1] * 10)
    member = np.array([True] * 10 + [True, False] * 5)
    codes = np.array([0] * 10 + [0, 1] * 5)
    found = text_test(member, codes, strata, permutations=99)
    assert found.effect_within == pytest.approx(1.0)
    values = codes.astype(np.float64)[:, None]
    assert rank_tests(member, values, strata, permutations=99)[0].effect_within == -1.0


def test_many_codes_and_ways_are_worked_on_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal p of all ways in parts; p of tables by lot agrees."""
    rng = np.random.default_rng(7)
    member, values = np.arange(12) < 5, rng.normal(size=(12, 2))
    codes = rng.integers(4, size=12)
    whole = [t.p for t in rank_tests(member, values, _none(12))]
    table = text_test(member, codes, _none(12)).p
    monkeypatch.setattr(audit_tests, "_CHUNK", 50)
    assert [t.p for t in rank_tests(member, values, _none(12))] == whole
    assert text_test(member, codes, _none(12)).p == pytest.approx(table, abs=0.02)


def test_perfect_alignment_leaves_nothing_to_test() -> None:
    strata = np.repeat([0, 1], 10)
    member = strata == 1
    values = np.arange(20.0)[:, None]
    assert rank_tests(member, values, strata)[0].p_within is None
    assert text_test(member, strata, strata).p_within is None


def test_p_values_are_uniform_under_chance() -> None:
    rng = np.random.default_rng(4)
    hits = []
    for draw in range(200):
        strata = rng.integers(2, size=40)
        member = rng.random(40) < 0.3 + 0.3 * strata
        values = (rng.normal(size=40) + strata)[:, None]
        options = {"permutations": 199, "seed": draw}
        codes = rng.integers(3, size=40)
        hits.append(
            [
                rank_tests(member, values, strata, **options)[0].p_within,
                text_test(member, codes, strata, **options).p_within,
            ]
        )
    share = (np.array(hits, dtype=float) <= 0.1).mean(axis=0)
    assert (share < 0.17).all()
    assert (share > 0.04).all()
