"""Tests of pairs against enumeration, scipy and statsmodels."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from scipy.stats import binomtest, norm, pearsonr, permutation_test, rankdata, wilcoxon

from bids_xai.core.comparisons import holm, mcnemar_exact, pearson_permutation, wilcoxon_signed_rank
from bids_xai.errors import BadDataError


def test_mcnemar_against_the_binomial_test() -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        a, b = rng.random(40) < 0.7, rng.random(40) < 0.5
        only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
        expected = binomtest(only_a, only_a + only_b, 0.5).pvalue
        assert mcnemar_exact(a, b) == pytest.approx(expected)
    assert mcnemar_exact([True, False], [True, False]) == 1.0


def test_holm_by_hand_and_against_the_definition() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    p = np.random.default_rng(3).random(8) / 5
    slow = [
        min(1.0, max((8 - int((p < q).sum())) * q for q in p[p <= p[i]])) for i in range(len(p))
    ]
    np.testing.assert_allclose(holm(p), slow)
    assert holm([]).size == 0
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.2, np.nan])


def test_mcnemar_by_enumeration() -> None:
    for only_a, only_b in product(range(7), repeat=2):
        n = only_a + only_b
        a = np.array([True] * only_a + [False] * only_b + [True, False])
        b = np.array([False] * only_a + [True] * only_b + [True, False])
        sides = [sum(sides) for sides in product((0, 1), repeat=n)]
        extreme = [abs(k - n / 2) >= abs(only_a - n / 2) for k in sides]
        assert mcnemar_exact(a, b) == pytest.approx(np.mean(extreme))


def test_mcnemar_and_holm_against_statsmodels() -> None:
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    a = np.array([True] * 9 + [False] * 2 + [True] * 5)
    b = np.array([False] * 9 + [True] * 2 + [True] * 5)
    expected = tables.mcnemar([[5, 9], [2, 0]], exact=True).pvalue
    assert mcnemar_exact(a, b) == pytest.approx(expected)
    p = np.random.default_rng(8).random(12) ** 3
    np.testing.assert_allclose(holm(p), multitest.multipletests(p, method="holm")[1])


def test_wilcoxon_by_hand() -> None:
    found = wilcoxon_signed_rank([3, 5, 2, 7, 4], [1, 1, 3, 2, 4])
    # differences 2, 4, -1, 5, 0: ranks 2, 3, (1), 4 of the four; sums 9 and 1; 4 of 16 signs
    assert (found.w_plus, found.w_minus, found.n, found.n_zero) == (9, 1, 4, 1)
    assert found.exact
    assert found.p_value == pytest.approx(4 / 16)


def _wilcoxon_by_signs(difference: np.ndarray) -> float:
    d = difference[difference != 0]
    ranks = rankdata(np.abs(d))
    observed = abs(ranks[d > 0].sum() - ranks[d < 0].sum())
    sums = [abs(np.dot(signs, ranks)) for signs in product((-1, 1), repeat=d.size)]
    return float(np.mean(np.array(sums) >= observed - 1e-9))


def test_wilcoxon_with_ties_and_zeros_by_all_signs() -> None:
    rng = np.random.default_rng(9)
    for n in (1, 2, 5, 9, 11):
        a, b = rng.integers(0, 5, n) / 10, rng.integers(0, 4, n) / 10
        found = wilcoxon_signed_rank(a, b)
        whole = np.round(a * 10).astype(int) - np.round(b * 10).astype(int)
        assert found.n_zero == int((whole == 0).sum())
        assert found.p_value == pytest.approx(_wilcoxon_by_signs(whole))


def test_wilcoxon_against_scipy() -> None:
    rng = np.random.default_rng(10)
    for n in (6, 20, 50):
        a, b = rng.normal(0.3, 1, n), rng.normal(size=n)
        found, expected = wilcoxon_signed_rank(a, b), wilcoxon(a, b, method="exact")
        assert found.p_value == pytest.approx(expected.pvalue)
        assert min(found.w_plus, found.w_minus) == expected.statistic
    a, b = rng.integers(0, 9, 80), rng.integers(0, 8, 80)
    found = wilcoxon_signed_rank(a, b)
    assert not found.exact
    assert found.p_value == pytest.approx(wilcoxon(a, b, correction=False).pvalue)


def test_the_normal_approximation_takes_over_where_it_is_close() -> None:
    rng = np.random.default_rng(11)
    d = rng.normal(0.25, 1, 50)
    exact = wilcoxon_signed_rank(d, np.zeros(50))
    more = wilcoxon_signed_rank(np.append(d, 1e-6), np.zeros(51))
    assert (exact.exact, more.exact) == (True, False)
    assert more.p_value == pytest.approx(exact.p_value, rel=0.1)
    # without ties: n (n + 1) (2 n + 1) / 24
    z = (51 * 52 / 4 - min(more.w_plus, more.w_minus)) / np.sqrt(51 * 52 * 103 / 24)
    assert more.p_value == pytest.approx(2 * norm.sf(z))


def test_wilcoxon_takes_rounding_for_ties_and_equality_for_one() -> None:
    # 0.9 - 0.8 and 0.8 - 0.7 differ in the last bit, 0.1 + 0.2 and 0.3 too
    found = wilcoxon_signed_rank([0.9, 0.7, 0.1 + 0.2], [0.8, 0.8, 0.3])
    assert (found.w_plus, found.w_minus, found.n_zero) == (1.5, 1.5, 1)
    same = wilcoxon_signed_rank([0.5, 0.6], [0.5, 0.6])
    assert (same.p_value, same.n, same.n_zero) == (1.0, 0, 2)
    assert wilcoxon_signed_rank([0, 0], [0, 0]).p_value == 1.0


def test_pairs_must_be_finite_and_as_many() -> None:
    for function in (wilcoxon_signed_rank, pearson_permutation):
        with pytest.raises(BadDataError, match="1 of 2 pairs"):
            function([1, np.nan], [1, 2])
        with pytest.raises(BadDataError, match="two values per pair"):
            function([1, 2, 3], [1, 2])


def test_correlation_by_hand_over_all_orders() -> None:
    found = pearson_permutation([1, 2, 3], [1, 2, 4])
    # last minus first is 3, ±1, ±2 or -3: as far from zero twice, in order and reversed
    assert found.r == pytest.approx(3 / np.sqrt(2 * 14 / 3))
    assert found.p_value == pytest.approx(2 / 6)
    assert (found.n, found.n_permutations, found.exact) == (3, 6, True)


def test_correlation_against_enumeration_and_scipy() -> None:
    rng = np.random.default_rng(12)
    for n in (4, 6):
        x, y = rng.normal(size=n), rng.normal(size=n)
        found = pearson_permutation(x, y)
        r = np.corrcoef(x, y)[0, 1]
        others = [np.corrcoef(x, np.array(order))[0, 1] for order in permutations(y)]
        assert found.exact
        assert found.r == pytest.approx(r)
        assert found.p_value == pytest.approx(np.mean(np.abs(others) >= abs(r) - 1e-9))
    x = rng.normal(size=40)
    y = 0.3 * x + rng.normal(size=40)
    found = pearson_permutation(x, y, permutations=4000, seed=1)
    assert not found.exact
    assert found.r == pytest.approx(pearsonr(x, y).statistic)
    expected = permutation_test(
        (y,),
        lambda values: pearsonr(x, values).statistic,
        permutation_type="pairings",
        n_resamples=1000,
        rng=3,
    )
    assert found.p_value == pytest.approx(expected.pvalue, abs=0.025)


def test_drawn_orders_follow_the_seed_and_count_the_data_themselves() -> None:
    x = np.arange(12.0)
    perfect = pearson_permutation(x, -x, permutations=99)
    assert perfect.r == pytest.approx(-1)
    assert perfect.p_value == pytest.approx(1 / 100)
    y = np.random.default_rng(0).normal(size=12)
    one, again = (pearson_permutation(x, y, permutations=200, seed=5) for _ in range(2))
    other = pearson_permutation(x, y, permutations=200, seed=6)
    assert one == again
    assert other.p_value != one.p_value


def test_what_does_not_vary_has_no_correlation() -> None:
    for x in ([2.0, 2.0, 2.0], [0.1 + 0.2, 0.3, 0.3]):
        found = pearson_permutation(x, [1, 2, 3])
        assert (found.r, found.p_value, found.n) == (None, None, 3)
    assert pearson_permutation([1], [2]).r is None
    with pytest.raises(ValueError, match="permutations"):
        pearson_permutation([1, 2], [2, 3], permutations=0)
