"""Echo times, decays and amplitudes against formulas."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bids_xai.core.relaxometry.echoes import (
    Echoes,
    amplitude,
    columns,
    decay,
    spacing_deviation,
    within,
)

Array = NDArray[np.float64]

EQUAL_S = np.arange(1, 7) * 0.00492
UNEQUAL_S = np.array([0.0031, 0.0049, 0.0112, 0.0140, 0.0323])
ECHO_TIMES = pytest.mark.parametrize("times", [EQUAL_S, UNEQUAL_S], ids=["equal", "unequal"])


def test_echoes_start_at_the_first() -> None:
    equal, unequal = Echoes.of(EQUAL_S, np), Echoes.of(UNEQUAL_S, np)
    assert equal.spacing == pytest.approx(0.00492)
    assert unequal.spacing is None
    assert unequal.first_s == 0.0031
    np.testing.assert_allclose(unequal.elapsed, UNEQUAL_S - 0.0031)
    np.testing.assert_allclose(unequal.powers, [(UNEQUAL_S - 0.0031) ** k for k in range(3)])


def test_the_deviation_of_spacings_is_a_share_of_their_mean() -> None:
    assert spacing_deviation(EQUAL_S) < 1e-12
    assert spacing_deviation(np.array([1.0, 2.0, 5.0])) == pytest.approx(0.5)


@ECHO_TIMES
def test_the_decay_is_the_exponential_since_the_first_echo(times: Array) -> None:
    rates = np.linspace(0, 1000, 50)
    signal = np.empty((times.size, 50))
    expected = np.exp(-np.outer(times - times[0], rates))
    np.testing.assert_allclose(decay(rates, signal, Echoes.of(times, np)), expected, rtol=1e-12)


@ECHO_TIMES
@pytest.mark.parametrize("weighted", [False, True])
def test_the_amplitude_is_that_of_least_squares(times: Array, weighted: bool) -> None:
    rng = np.random.default_rng(0)
    rates, signal = rng.uniform(5, 200, 9), rng.uniform(1, 100, (times.size, 9))
    weight = np.ones_like(signal)
    if weighted:
        weight[3:, ::2] = 0
        signal = signal * weight
    result = amplitude(signal, weight if weighted else None, rates, Echoes.of(times, np))
    for voxel, rate in enumerate(rates):
        used = weight[:, voxel] > 0
        curve = np.exp(-(times - times[0]) * rate)[used, None]
        expected = np.linalg.lstsq(curve, signal[used, voxel], rcond=None)[0]
        assert result[voxel] == pytest.approx(expected[0])


def test_columns_and_masks_within_masks() -> None:
    array, mask = np.arange(12.0).reshape(3, 4), np.array([True, False, True, True])
    np.testing.assert_array_equal(columns(array, mask), array[:, mask])
    assert columns(None, mask) is None
    narrowed = within(mask, np.array([False, True, True]))
    assert narrowed.tolist() == [False, False, True, True]
    assert mask.tolist() == [True, False, True, True]
