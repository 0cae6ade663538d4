"""ARLO, NumART2* and the weighted line against slow versions and truth."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bids_xai.core.relaxometry.fit import R2STAR_MAX_PER_S, fit_r2star
from bids_xai.errors import BadDataError

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


def slow_arlo(voxel: Array, spacing: float) -> float:
    top = bottom = 0.0
    for i in range(len(voxel) - 2):
        integral = spacing / 3 * (voxel[i] + 4 * voxel[i + 1] + voxel[i + 2])
        drop = voxel[i] - voxel[i + 2]
        top += spacing / 3 * drop**2 + integral * drop
        bottom += integral**2 + spacing / 3 * integral * drop
    return min(max(top / bottom, 0.0), R2STAR_MAX_PER_S)


@pytest.mark.parametrize("n_echoes", [3, 4, 6])
def test_arlo_is_the_loop_over_the_formula(n_echoes: int) -> None:
    times = EQUAL_S[:n_echoes]
    signal = rician(decay(times, np.linspace(0, 200, 60)), 40, seed=1)
    expected = [slow_arlo(voxel, 0.00492) for voxel in signal.T]
    np.testing.assert_allclose(fit_r2star(signal, times, "arlo").r2star, expected, rtol=1e-5)


def test_arlo_without_noise_is_off_by_simpsons_error_only() -> None:
    """Two public implementations give 37.5 where the truth is 40."""
    rate = np.linspace(1, 200, 200)
    found = fit_r2star(decay(EQUAL_S, rate), EQUAL_S, "arlo").r2star
    assert (np.abs(found / rate - 1) <= (rate * 0.00492) ** 4 / 180 + 1e-6).all()
    assert found[39] == pytest.approx(40.0, abs=0.001)


def test_arlo_refuses_other_than_equal_spacing() -> None:
    with pytest.raises(BadDataError, match="equally spaced") as caught:
        fit_r2star(np.ones((5, 3)), UNEQUAL_S, "arlo")
    assert "nlls, loglin or numart2s" in (caught.value.fix or "")
    with pytest.raises(BadDataError, match="at least three echoes, found 2"):
        fit_r2star(np.ones((2, 3)), EQUAL_S[:2], "arlo")
    rounded = np.array([0.0049, 0.00985, 0.01475])  # 1 % is rounding; 3 % is not
    assert fit_r2star(np.ones((3, 1)), rounded, "arlo").n_invalid == 0
    with pytest.raises(BadDataError, match="equally spaced"):
        fit_r2star(np.ones((3, 1)), rounded + np.array([0, 0.00015, 0]), "arlo")


def slow_numart2s(voxel: Array, times: Array) -> float:
    area = 0.0
    for i in range(len(voxel) - 1):
        area += (times[i + 1] - times[i]) * (voxel[i] + voxel[i + 1]) / 2
    return min(max((voxel[0] - voxel[-1]) / area, 0.0), R2STAR_MAX_PER_S)


@pytest.mark.parametrize("times", [EQUAL_S, UNEQUAL_S, EQUAL_S[:2]], ids=["equal", "un", "two"])
def test_numart2s_is_the_loop_over_the_trapezoid(times: Array) -> None:
    signal = rician(decay(times, np.linspace(0, 200, 60)), 40, seed=2)
    expected = [slow_numart2s(voxel, times) for voxel in signal.T]
    found = fit_r2star(signal, times, "numart2s").r2star
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_numart2s_is_hagbergs_formula_where_echoes_are_equally_spaced() -> None:
    s = decay(EQUAL_S, np.array([30.0]))[:, 0]
    expected = 2 * 5 / (EQUAL_S[5] - EQUAL_S[0]) * (s[0] - s[5]) / (s[0] + 2 * s[1:5].sum() + s[5])
    found = fit_r2star(s[:, None], EQUAL_S, "numart2s").r2star[0]
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("times", [EQUAL_S, UNEQUAL_S], ids=["equal", "unequal"])
def test_numart2s_without_noise_is_low_by_the_trapezoids_error_only(times: Array) -> None:
    rate = np.linspace(1, 200, 200)
    found = fit_r2star(decay(times, rate), times, "numart2s").r2star
    bound = (rate * np.diff(times).max()) ** 2 / 12
    assert (found <= rate * (1 + 1e-6)).all()
    assert (found >= rate * (1 - bound - 1e-6)).all()


@pytest.mark.parametrize(
    ("method", "bias", "spread"),
    [("nlls", 0.1, 2.1), ("loglin", 0.3, 2.1), ("arlo", 0.15, 2.3), ("numart2s", 0.25, 2.5)],
)
def test_noise_of_two_percent_leaves_r2star_of_40_in_place(
    method: str, bias: float, spread: float
) -> None:
    signal = rician(decay(EQUAL_S, np.full(40000, 40.0)), 20, seed=3)
    error = fit_r2star(signal, EQUAL_S, method).r2star - 40.0
    assert abs(error.mean()) < bias
    assert error.std() < spread


@pytest.mark.parametrize("late", [1, 2, 5])
def test_a_single_late_sample_has_no_slope(late: int) -> None:
    signal = np.zeros((6, 1))
    signal[late] = 7.0
    for method in ("loglin", "numart2s", "arlo"):
        fit = fit_r2star(signal, EQUAL_S, method)
        assert np.isfinite([fit.s0[0], fit.sigma[0], fit.r_squared[0]]).all()
    assert fit_r2star(signal, EQUAL_S, "loglin").r2star[0] == 0
    assert fit_r2star(signal, EQUAL_S, "loglin").s0[0] == pytest.approx(7 / 6)
    assert fit_r2star(signal[::-1], EQUAL_S, "loglin").r2star[0] == 0 or late == 5


def test_loglin_ignores_zeros_and_a_single_first_sample_is_the_bound() -> None:
    signal = np.array([[8.0, 3.0], [0, 0], [2.0, 0], [0, 0]])
    fit = fit_r2star(signal, EQUAL_S[:4], "loglin")
    expected = [np.log(4) / (2 * 0.00492), R2STAR_MAX_PER_S]
    np.testing.assert_allclose(fit.r2star, expected, rtol=1e-6)
    assert fit.n_at_max == 1
