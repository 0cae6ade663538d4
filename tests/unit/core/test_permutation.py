"""Correlations of many columns: one by one, and calibrated where there is nothing to find."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest, pearsonr

from bids_xai.core.comparisons import pearson_permutation
from bids_xai.core.permutation import pearson_permutations
from bids_xai.errors import BadDataError


def _data(n: int, m: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, m))
    return x, 0.4 * x + rng.normal(size=(n, m))


def test_r_is_that_of_scipy_and_p_that_of_single_tests() -> None:
    x, y = _data(25, 4)
    found = pearson_permutations(x, y, permutations=2500, seed=1)
    for column in range(4):
        assert found.r[column] == pytest.approx(pearsonr(x[:, column], y[:, column]).statistic)
        one = pearson_permutation(x[:, column], y[:, column], permutations=5000, seed=2)
        assert found.p_value[column] == pytest.approx(one.p_value, abs=0.03)
    assert (found.n, found.n_permutations, found.exact) == (25, 2500, False)


def test_one_variable_for_all_columns_is_that_variable_beside_each() -> None:
    x, y = _data(15, 3, seed=4)
    one = pearson_permutations(x, y[:, 0], permutations=1500, seed=3)
    each = pearson_permutations(x, np.tile(y[:, :1], 3), permutations=1500, seed=3)
    np.testing.assert_allclose(one.r, each.r)
    np.testing.assert_allclose(one.p_value, each.p_value)


def test_few_values_are_counted_in_every_order() -> None:
    x, y = _data(5, 3, seed=5)
    found = pearson_permutations(x, y, permutations=200)
    expected = [pearson_permutation(x[:, i], y[:, i], permutations=200) for i in range(3)]
    assert found.exact
    assert found.n_permutations == 120
    assert found.p_value.tolist() == [one.p_value for one in expected]


def test_p_values_are_uniform_where_there_is_nothing() -> None:
    """500 tests at once under the null, of skewed values with ties as relevance has them."""
    rng = np.random.default_rng(6)
    x = np.maximum(rng.exponential(size=(30, 500)) - 0.3, 0)
    found = pearson_permutations(x, rng.exponential(size=(30, 500)), permutations=399, seed=7)
    assert found.p_value.min() >= 1 / 400
    assert kstest(found.p_value, "uniform").pvalue > 0.01
    assert np.mean(found.p_value <= 0.05) == pytest.approx(0.05, abs=0.03)


def test_drawn_orders_follow_the_seed_and_the_data_count_themselves() -> None:
    x = np.arange(12.0)[:, None]
    found = pearson_permutations(x, -x, permutations=99, seed=0)
    assert found.p_value[0] == pytest.approx(1 / 100)
    a, b = _data(30, 2, seed=8)[0], _data(30, 2, seed=9)[0]
    one, again, other = (pearson_permutations(a, b, permutations=150, seed=s) for s in (5, 5, 6))
    assert one.p_value.tolist() == again.p_value.tolist() != other.p_value.tolist()


def test_columns_that_do_not_vary_have_no_correlation() -> None:
    x, y = _data(9, 3, seed=9)
    x[:, 1] = 0.1
    found = pearson_permutations(x, y, permutations=50)
    assert np.isnan(found.r).tolist() == [False, True, False]
    assert np.isnan(found.p_value).tolist() == [False, True, False]
    assert np.isnan(pearson_permutations(x, np.full(9, 3.0), permutations=50).r).all()


def test_what_cannot_be_paired_is_refused() -> None:
    x, y = _data(9, 3)
    for other in (y[:, :2], y[:8], y[:8, 0], np.where(y > 1, np.nan, y)):
        with pytest.raises(BadDataError, match="differ in shape or are not finite"):
            pearson_permutations(x, other)
    with pytest.raises(ValueError, match="permutations"):
        pearson_permutations(x, y, permutations=0)
