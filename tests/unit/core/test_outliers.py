"""Robust z: against the formula, a slow version, and samples without any spread."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

from bids_xai.core.outliers import LEAST_VALUES, Spread, outliers, robust_z, spread


def slow_z(values: list[float]) -> list[float]:
    median = statistics.median(values)
    mad = statistics.median(abs(v - median) for v in values)
    return [0.6745 * (v - median) / mad for v in values]


def test_by_hand() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 105.0])
    assert spread(values) == Spread(5, 3.0, 1.0)
    np.testing.assert_allclose(robust_z(values), 0.6745 * np.array([-2, -1, 0, 1, 102]))


def test_against_the_slow_version() -> None:
    values = np.random.default_rng(0).gamma(2.0, 3.0, 41)
    np.testing.assert_allclose(robust_z(values), slow_z(list(values)))


def test_scale_and_shift_do_not_matter() -> None:
    values = np.random.default_rng(1).normal(size=30)
    np.testing.assert_allclose(robust_z(values), -robust_z(5 - 1e-3 * values), rtol=1e-6)


def test_of_a_normal_sample_z_is_near_the_usual_one() -> None:
    values = np.random.default_rng(2).normal(10.0, 2.0, 20_000)
    assert np.std(robust_z(values)) == pytest.approx(1.0, abs=0.03)
    found = outliers(values)
    assert found is not None
    assert found.mean() < 0.001


def test_missing_values_stay_missing_and_do_not_count() -> None:
    values = np.array([1.0, math.nan, 2.0, 3.0, math.inf, 4.0, 105.0])
    z = robust_z(values)
    np.testing.assert_array_equal(np.isnan(z), [False, True, False, False, True, False, False])
    np.testing.assert_allclose(z[np.isfinite(values)], robust_z(values[np.isfinite(values)]))
    assert spread(values).n == 5


def test_of_equal_values_none_is_out() -> None:
    for constant in (0.0, 0.1 + 0.2, 1e9):
        np.testing.assert_array_equal(robust_z(np.full(12, constant)), np.zeros(12))
        assert outliers(np.full(12, constant)) is not None
        assert not np.any(outliers(np.full(12, constant)))


def test_among_equal_values_the_mean_deviation_finds_the_one_that_differs() -> None:
    values = np.array([0.0] * 19 + [5.0])
    z = robust_z(values)
    mean = 5.0 / 20
    assert z[-1] == pytest.approx(math.sqrt(2 / math.pi) * 5.0 / mean, rel=1e-4)
    assert np.flatnonzero(outliers(values)).tolist() == [19]


def test_rounding_among_equal_values_is_no_outlier() -> None:
    values = np.array([1.0] * 19 + [0.9999])
    assert not np.any(outliers(values))
    values[-1] = 0.95
    assert np.flatnonzero(outliers(values)).tolist() == [19]


def test_with_too_few_values_nothing_is_said() -> None:
    values = np.array([*range(LEAST_VALUES - 2), 1e6, math.nan])
    assert outliers(values) is None
    values[-1] = 3.0
    found = outliers(values)
    assert found is not None
    assert found.tolist() == [False] * 6 + [True, False]


def test_nothing_at_all() -> None:
    assert robust_z(np.array([])).shape == (0,)
    assert spread(np.array([math.nan])).n == 0
    assert math.isnan(spread(np.array([math.nan])).median)


def test_the_input_is_left_as_found() -> None:
    values = np.array([3.0, 1.0, math.nan, 2.0])
    kept = values.copy()
    robust_z(values)
    np.testing.assert_array_equal(values, kept)
