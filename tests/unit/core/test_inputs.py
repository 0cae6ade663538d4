"""The input of a network: scaling, standardising, running moments."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.core.inputs import RunningMoments, network_input, standardise
from bids_xai.errors import BadDataError


def test_the_input_is_scaled_masked_and_never_negative() -> None:
    data = np.array([80.0, -4.0, np.nan, np.inf, -np.inf, 20.0], np.float32).reshape(1, 2, 3)
    before = data.copy()
    free = network_input(data, None, scale=40.0)
    np.testing.assert_array_equal(free.ravel(), [2, 0, 0, 0, 0, 0.5])
    mask = np.array([0, 1, 1, 1, 1, 255]).reshape(1, 2, 3)
    stripped = network_input(data, mask, scale=40.0)
    np.testing.assert_array_equal(stripped.ravel(), [0, 0, 0, 0, 0, 0.5])
    assert free.dtype == stripped.dtype == np.float32
    np.testing.assert_array_equal(data, before)


def test_a_maximum_is_in_units_of_the_map() -> None:
    data = np.array([-7.0, 30.0, 200.0, 900.0, np.inf, np.nan], np.float32).reshape(1, 2, 3)
    found = network_input(data, None, scale=40.0, maximum=200.0)
    np.testing.assert_array_equal(found.ravel(), [0, 0.75, 5, 5, 0, 0])
    assert found.dtype == np.float32


@pytest.mark.parametrize("scale", [0.0, -40.0, float("nan")])
def test_a_scale_that_is_not_positive_is_refused(scale: float) -> None:
    with pytest.raises(BadDataError, match="scale must be positive"):
        network_input(np.ones((2, 3, 4)), None, scale=scale)


def test_minmax_brings_the_range_within_the_mask_to_0_and_1() -> None:
    data = np.array([10.0, 20.0, 30.0, 50.0, -5.0, np.nan], np.float32).reshape(1, 2, 3)
    mask = np.array([1, 1, 1, 1, 0, 0]).reshape(1, 2, 3)
    scaled = network_input(data, mask, scaling="minmax")
    np.testing.assert_allclose(scaled.ravel(), [0, 0.25, 0.5, 1, 0, 0])
    free = network_input(data, None, scaling="minmax")  # NaN counts as 0
    np.testing.assert_allclose(free.ravel() * 55, [15, 25, 35, 55, 0, 5], rtol=1e-6)


def test_a_map_without_a_range_is_refused() -> None:
    with pytest.raises(BadDataError, match="the map has one value only"):
        network_input(np.full((2, 2, 2), 3.0), None, scaling="minmax")
    with pytest.raises(BadDataError, match="the map has one value only"):
        network_input(np.ones((2, 2, 2)), np.zeros((2, 2, 2)), scaling="minmax")


def test_zscore_leaves_negative_values_to_standardising() -> None:
    data = np.array([-4.0, 8.0], np.float32).reshape(1, 1, 2)
    np.testing.assert_array_equal(network_input(data, None, scaling="zscore"), data)
    mean = np.array([1.0, 2.0], np.float32).reshape(1, 1, 2)
    sd = np.array([2.0, 0.0], np.float32).reshape(1, 1, 2)
    np.testing.assert_array_equal(standardise(data, mean, sd).ravel(), [-2.5, 0])


def test_running_moments_are_those_of_all_volumes_together() -> None:
    volumes = np.random.default_rng(3).normal(1e3, 2.0, (7, 4, 3, 2)).astype(np.float32)
    moments = RunningMoments()
    for volume in volumes:
        moments.add(volume)
    mean, sd = moments.result()
    exact = volumes.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(0), rtol=1e-6)
    np.testing.assert_allclose(sd, exact.std(0, ddof=1), rtol=1e-6)
    assert moments.n == 7
    assert mean.dtype == sd.dtype == np.float32


def test_moments_of_one_volume_are_refused() -> None:
    moments = RunningMoments()
    moments.add(np.ones((2, 2, 2), np.float32))
    with pytest.raises(BadDataError, match="two training scans or more"):
        moments.result()
