"""ARLO, NumART2*, the noise floor and the Rician option, against slow versions and truth."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import ive

from bids_xai.core.relaxometry import estimators as relaxometry_estimators
from bids_xai.core.relaxometry.estimators import Echoes, bessel_ratio, minimise
from bids_xai.core.relaxometry.fit import R2STAR_MAX_PER_S, fit_r2star
from bids_xai.core.relaxometry.noise import noise_sigma
from bids_xai.errors import BadDataError, UsageError

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


# ---- the iteration itself, from starts that the fit never gives it -------------------------------


def explained(signal: Array, times: Array, rate: Array) -> Array:
    basis = np.exp(-(times - times[0])[:, None] * rate)
    return np.asarray((signal * basis).sum(0) ** 2 / (basis**2).sum(0))


@pytest.mark.parametrize("times", [EQUAL_S, UNEQUAL_S], ids=["equal", "unequal"])
def test_a_decay_is_found_from_any_start(times: Array) -> None:
    rates, starts = np.meshgrid([1.0, 20, 60, 200, 400], np.linspace(0, 1000, 41))
    signal = decay(times, rates.ravel())
    with np.errstate(all="ignore"):
        found = minimise(signal, None, starts.ravel(), Echoes.of(times, np))
    np.testing.assert_allclose(found, rates.ravel(), rtol=1e-5)


@pytest.mark.parametrize("times", [EQUAL_S, UNEQUAL_S], ids=["equal", "unequal"])
@pytest.mark.parametrize("power", [1, 6])
def test_the_iteration_never_ends_worse_than_it_began(times: Array, power: int) -> None:
    """Noise, and spikes (its 6th power), from random starts."""
    rng = np.random.default_rng(20)
    signal = rng.random((times.size, 30000)) ** power
    start = rng.uniform(0, 1000, 30000)
    with np.errstate(all="ignore"):
        found = minimise(signal, None, start, Echoes.of(times, np))
    begin, end = explained(signal, times, start), explained(signal, times, found)
    assert (end >= begin * (1 - 1e-12)).all()
    for step in (-0.01, 0.01):  # and each is a minimum, or held by a bound
        beside = explained(signal, times, np.clip(found + step, 0, R2STAR_MAX_PER_S))
        assert np.mean(beside > end * (1 + 1e-10)) < 1e-3


@pytest.mark.parametrize("n_steps", [1, 2, 3, 8])
def test_an_iteration_that_runs_out_of_steps_returns_its_best(
    n_steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaxometry_estimators, "_GUARDED_STEPS", n_steps)
    rng = np.random.default_rng(21)
    signal, start = rng.random((6, 5000)) ** 6, rng.uniform(0, 1000, 5000)
    with np.errstate(all="ignore"):
        found = minimise(signal, None, start, Echoes.of(EQUAL_S, np))
    end = explained(signal, EQUAL_S, found)
    assert (end >= explained(signal, EQUAL_S, start) * (1 - 1e-12)).all()


# ---- arlo ----------------------------------------------------------------------------------------


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


# ---- numart2s ------------------------------------------------------------------------------------


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


# ---- all under noise; degenerate signals ---------------------------------------------------------


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


# ---- noise floor ---------------------------------------------------------------------------------


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


# ---- sigma from air ------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [1e-6, 12.0])
def test_sigma_of_air_is_found_with_and_without_a_mask(sigma: float) -> None:
    air = rician(np.zeros((6, 20000)), sigma, seed=7)
    head = rician(decay(EQUAL_S, np.linspace(5, 60, 15000), 60 * sigma), sigma, seed=8)
    both = np.hstack([air, head])
    is_air = np.arange(35000) < 20000
    assert noise_sigma(both, is_air) == pytest.approx(sigma, rel=0.01)
    assert noise_sigma(both) == pytest.approx(sigma, rel=0.03)
    assert noise_sigma(air) == pytest.approx(sigma, rel=0.01)
    both[:, ::3], both[0, 1] = 0, np.nan  # masked air and broken voxels do not count
    assert noise_sigma(both) == pytest.approx(sigma, rel=0.03)
    assert noise_sigma(np.round(air / sigma * 8).astype(np.int16)) == pytest.approx(8, rel=0.05)


def test_sigma_needs_air() -> None:
    with pytest.raises(BadDataError, match="99 air samples are too few"):
        noise_sigma(np.ones(99))
    with pytest.raises(BadDataError, match="too few"):
        noise_sigma(np.ones((6, 500)), np.zeros(500, dtype=bool))
    head = rician(decay(EQUAL_S, np.linspace(15, 25, 5000)), 10, seed=9)
    with pytest.raises(BadDataError, match="do not look like noise") as caught:
        noise_sigma(head)
    assert "mask" in (caught.value.fix or "")


# ---- Rician maximum likelihood -------------------------------------------------------------------


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
