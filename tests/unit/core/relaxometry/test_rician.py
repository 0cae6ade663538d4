"""Rician maximum likelihood against a slow search and truth."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import ive

from bids_xai.core.relaxometry.fit import fit_r2star
from bids_xai.core.relaxometry.rician import bessel_ratio

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


def test_bessel_ratio_is_scipys() -> None:
    x = np.concatenate([[0.0], np.geomspace(1e-9, 1e9, 3000)])
    np.testing.assert_allclose(bessel_ratio(x, np), ive(1, x) / ive(0, x), rtol=1e-5)


def slow_likelihood(voxel: Array, times: Array, sigma: float) -> float:
    """Rate of greatest Rician likelihood by a simplex search."""

    def cost(p: Array) -> float:
        clean = np.exp(p[0] - times * p[1])
        x = voxel * clean / sigma**2
        return float(np.sum(clean**2 / (2 * sigma**2) - np.log(ive(0, x)) - x))

    start = np.array([np.log(voxel[0]) + 0.1, 40.0])
    options = {"xatol": 1e-7, "fatol": 1e-12, "maxiter": 4000}
    return float(minimize(cost, start, method="Nelder-Mead", options=options).x[1])


@pytest.mark.parametrize("times", [EQUAL_S, UNEQUAL_S], ids=["equal", "unequal"])
def test_rician_nlls_is_the_greatest_likelihood(times: Array) -> None:
    signal = rician(decay(times, np.linspace(10, 100, 40)), 40, seed=10)
    found = fit_r2star(signal, times, rician_sigma=40.0).r2star
    expected = np.array([slow_likelihood(voxel, times, 40.0) for voxel in signal.T])
    assert (expected > 0).all()
    np.testing.assert_allclose(found, expected, rtol=1e-3)


@pytest.mark.parametrize(("rate", "snr"), [(40.0, 10), (80.0, 20), (120.0, 50), (200.0, 100)])
def test_rician_nlls_takes_the_bias_away(rate: float, snr: float) -> None:
    signal = rician(decay(EQUAL_S, np.full(20000, rate)), 1000 / snr, seed=11)
    plain = np.median(fit_r2star(signal, EQUAL_S).r2star) - rate
    aware = np.median(fit_r2star(signal, EQUAL_S, rician_sigma=1000 / snr).r2star) - rate
    assert plain < -0.005 * rate
    assert abs(aware) < 0.2 * abs(plain)


def test_rician_nlls_without_noise_to_speak_of_is_nlls() -> None:
    signal = rician(decay(EQUAL_S, np.linspace(5, 60, 100)), 5, seed=12)
    plain = fit_r2star(signal, EQUAL_S)
    tiny = fit_r2star(signal, EQUAL_S, rician_sigma=1e-3)
    np.testing.assert_allclose(tiny.r2star, plain.r2star, rtol=1e-5)


def test_rician_and_cut_go_together() -> None:
    signal = rician(decay(EQUAL_S, np.linspace(5, 250, 200)), 40, seed=13)
    fit = fit_r2star(signal, EQUAL_S, noise_floor=150.0, rician_sigma=40.0)
    assert fit.n_echoes_used is not None
    for i in (0, 50, 100, 150, 199):
        n = int(fit.n_echoes_used[i])
        alone = fit_r2star(signal[:n, i : i + 1], EQUAL_S[:n], rician_sigma=40.0)
        assert fit.r2star[i] == pytest.approx(alone.r2star[0], rel=1e-4)
