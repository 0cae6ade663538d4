"""The noise floor: echoes that are left out, voxels without signal, options of methods."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bids_xai.core.relaxometry.fit import fit_r2star
from bids_xai.errors import UsageError

Array = NDArray[np.float64]

EQUAL_S = np.arange(1, 7) * 0.00492
UNEQUAL_S = np.array([0.0031, 0.0049, 0.0112, 0.0140, 0.0323])


def decay(times: Array, rate: Array, s0: float = 1000.0) -> Array:
    """S0 exp(-t R2*), (n_echoes, n_voxels)."""
    return np.asarray(s0 * np.exp(-np.outer(times, rate)))


def rician(clean: Array, sigma: float, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, sigma, clean.shape) + 1j * rng.normal(0, sigma, clean.shape)
    return np.abs(clean + noise)


@pytest.mark.parametrize("method", ["nlls", "loglin"])
@pytest.mark.parametrize("times", [EQUAL_S, UNEQUAL_S], ids=["equal", "unequal"])
def test_the_cut_is_a_fit_of_the_echoes_before_it(method: str, times: Array) -> None:
    signal = rician(decay(times, np.linspace(5, 250, 300)), 40, seed=4)
    fit = fit_r2star(signal, times, method, noise_floor=150.0)
    assert fit.n_echoes_used is not None
    assert set(fit.n_echoes_used) == set(range(2, times.size + 1))
    for i, voxel in enumerate(signal.T):
        below = np.flatnonzero(voxel < 150.0)
        n = max(2, below[0]) if below.size else times.size
        assert fit.n_echoes_used[i] == n
        alone = fit_r2star(voxel[:n, None], times[:n], method)
        for name in ("r2star", "s0", "sigma", "r_squared"):
            expected = getattr(alone, name)[0]
            assert getattr(fit, name)[i] == pytest.approx(expected, rel=1e-5, abs=1e-4)


def test_samples_after_the_first_below_the_floor_are_dropped_even_if_above() -> None:
    signal = np.array([[100.0, 1], [80, 2], [5, 90], [90, 80]])
    fit = fit_r2star(signal, EQUAL_S[:4], noise_floor=10.0)
    assert fit.n_echoes_used is not None
    np.testing.assert_array_equal(fit.n_echoes_used, [2, 2])
    np.testing.assert_allclose(fit.r2star, [np.log(100 / 80) / 0.00492, 0], rtol=1e-6)


def test_a_floor_below_everything_changes_nothing() -> None:
    signal = rician(decay(EQUAL_S, np.linspace(5, 250, 300)), 40, seed=5) + 1
    plain, cut = fit_r2star(signal, EQUAL_S), fit_r2star(signal, EQUAL_S, noise_floor=0.5)
    np.testing.assert_allclose(cut.r2star, plain.r2star, rtol=1e-6)
    assert plain.n_echoes_used is None
    assert cut.n_echoes_used is not None
    np.testing.assert_array_equal(cut.n_echoes_used, 6)


def test_voxels_without_signal_before_the_cut_are_zero_and_counted() -> None:
    signal = np.array([[0.0, 9], [0, 5], [9, np.nan], [9, 2]])
    fit = fit_r2star(signal, EQUAL_S[:4], noise_floor=1.0)
    assert (fit.n_zero, fit.n_nonfinite) == (1, 1)
    assert fit.n_echoes_used is not None
    np.testing.assert_array_equal(fit.n_echoes_used, 0)
    np.testing.assert_array_equal(fit.r2star, 0)


def test_the_cut_takes_some_of_the_bias_of_the_noise_floor_away() -> None:
    signal = rician(decay(EQUAL_S, np.full(20000, 120.0)), 50, seed=6)
    plain = np.median(fit_r2star(signal, EQUAL_S, "loglin").r2star) - 120
    cut = np.median(fit_r2star(signal, EQUAL_S, "loglin", noise_floor=150.0).r2star) - 120
    assert plain < -20
    assert abs(cut) < 0.7 * abs(plain)


@pytest.mark.parametrize(
    ("method", "option"),
    [("arlo", "noise_floor"), ("numart2s", "noise_floor"), ("loglin", "rician_sigma")],
)
def test_options_a_method_does_not_have_are_refused(method: str, option: str) -> None:
    with pytest.raises(UsageError, match=f"'{method}' has no {option}.*use nlls"):
        fit_r2star(np.ones((6, 2)), EQUAL_S, method, **{option: 1.0})  # type: ignore[arg-type]


@pytest.mark.parametrize("option", ["noise_floor", "rician_sigma"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_noise_must_be_a_positive_number(option: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"{option} must be above 0"):
        fit_r2star(np.ones((6, 2)), EQUAL_S, **{option: value})  # type: ignore[arg-type]
