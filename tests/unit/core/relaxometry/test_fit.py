"""R2* against the formula, against scipy and numpy, and against a plain search."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import curve_fit

from bids_xai.core.relaxometry import fit as relaxometry
from bids_xai.core.relaxometry.fit import (
    R2STAR_MAX_PER_S,
    R2STAR_METHODS,
    check_echo_times,
    fit_r2star,
)
from bids_xai.errors import BadDataError, UsageError

Array = NDArray[np.float64]

EQUAL_S = np.arange(1, 7) * 0.00492
UNEQUAL_S = np.array([0.0031, 0.0049, 0.0112, 0.0140, 0.0323])
ECHO_TIMES = pytest.mark.parametrize("times", [EQUAL_S, UNEQUAL_S], ids=["equal", "unequal"])
METHODS = pytest.mark.parametrize("method", R2STAR_METHODS)
EXACT = pytest.mark.parametrize("method", ["nlls", "loglin"])


def decay(times: Array, rate: Array, s0: Array | float = 1000.0) -> Array:
    """S0 exp(-t R2*), (n_echoes, n_voxels)."""
    return np.asarray(s0 * np.exp(-np.outer(times, rate)))


def rician(clean: Array, sigma: float, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, sigma, clean.shape) + 1j * rng.normal(0, sigma, clean.shape)
    return np.abs(clean + noise)


def scipy_rate(times: Array, signal: Array) -> float:
    """Bounded least squares of one voxel, from the start of the authors' reference fit."""
    (_, rate), _ = curve_fit(
        lambda t, s0, r: s0 * np.exp(-t * r),
        times,
        signal,
        p0=(signal[0], 40.0),
        bounds=([0, 0], [np.inf, R2STAR_MAX_PER_S]),
        x_scale=(signal[0], 40.0),
        ftol=1e-14,
        xtol=1e-14,
        gtol=1e-14,
        max_nfev=2000,
    )
    return float(rate)


@EXACT
@ECHO_TIMES
def test_truth_comes_back_without_noise(method: str, times: Array) -> None:
    rate = np.linspace(0, 500, 301)
    s0 = np.geomspace(0.5, 4000, rate.size)
    fit = fit_r2star(decay(times, rate, s0), times, method)
    np.testing.assert_allclose(fit.r2star, rate, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(fit.s0, s0, rtol=1e-6)
    np.testing.assert_allclose(fit.r_squared, 1, atol=1e-6)
    np.testing.assert_allclose(fit.sigma / s0, 0, atol=1e-6)
    assert fit.n_invalid == 0
    assert {a.dtype for a in (fit.r2star, fit.s0, fit.sigma)} == {np.dtype(np.float32)}


@ECHO_TIMES
@pytest.mark.parametrize("snr", [20, 100])
def test_nlls_is_what_scipy_finds(times: Array, snr: float) -> None:
    rate = np.random.default_rng(1).uniform(2, 150, 60)
    signal = rician(decay(times, rate), 1000 / snr, seed=2)
    expected = [scipy_rate(times, voxel) for voxel in signal.T]
    np.testing.assert_allclose(fit_r2star(signal, times).r2star, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("snr", [20, 100])
def test_nlls_reaches_the_minimum_at_high_rates(snr: float) -> None:
    """Two in a thousand voxels may sit in a local minimum; an unfinished iteration may not."""
    rate = np.random.default_rng(3).uniform(150, 500, 3000)
    signal = rician(decay(EQUAL_S, rate), 1000 / snr, seed=4)
    found = np.asarray(fit_r2star(signal, EQUAL_S).r2star, dtype=np.float64)
    slope = _cost(signal, EQUAL_S, found + 0.05) - _cost(signal, EQUAL_S, found - 0.05)
    bend = _cost(signal, EQUAL_S, found + 0.05) + _cost(signal, EQUAL_S, found - 0.05)
    bend -= 2 * _cost(signal, EQUAL_S, found)
    to_minimum = np.abs(0.05 * slope / (2 * bend))  # parabola through three points
    inside = (found > 0.1) & (found < R2STAR_MAX_PER_S - 0.1)
    assert np.mean(to_minimum[inside] > 1e-3 * found[inside]) < 0.002


def _cost(signal: Array, times: Array, rate: Array) -> Array:
    basis = np.exp(-times[:, None] * rate)
    s0 = (signal * basis).sum(0) / (basis**2).sum(0)
    return np.asarray(((signal - s0 * basis) ** 2).sum(0))


def test_nlls_is_the_best_of_a_search_over_all_rates() -> None:
    rate = np.random.default_rng(5).uniform(0, 150, 200)
    signal = rician(decay(EQUAL_S, rate), 1000 / 30, seed=6)
    fit = fit_r2star(signal, EQUAL_S)
    found = _cost(signal, EQUAL_S, np.asarray(fit.r2star, np.float64))
    best = np.min([_cost(signal, EQUAL_S, np.full(200, r)) for r in np.arange(0, 500, 0.5)], axis=0)
    assert (found <= best * (1 + 1e-6)).all()


@ECHO_TIMES
def test_loglin_is_the_weighted_line_of_numpy(times: Array) -> None:
    rate = np.random.default_rng(7).uniform(2, 200, 80)
    signal = rician(decay(times, rate), 1000 / 40, seed=8)
    fit = fit_r2star(signal, times, "loglin")
    # polyfit's weights multiply residuals, so w = S is a weight of S² on squares
    slopes = [np.polyfit(times, np.log(voxel), 1, w=voxel)[0] for voxel in signal.T]
    np.testing.assert_allclose(fit.r2star, np.maximum(-np.array(slopes), 0), rtol=1e-5, atol=1e-4)


def test_s0_is_the_least_squares_amplitude_and_sigma_the_residual() -> None:
    signal = rician(decay(UNEQUAL_S, np.array([10.0, 30.0, 60.0])), 20, seed=9)
    for method in ("nlls", "loglin", "numart2s"):
        fit = fit_r2star(signal, UNEQUAL_S, method)
        for i in range(3):
            basis = np.exp(-UNEQUAL_S * float(fit.r2star[i]))[:, None]
            (amplitude,), (residual,), *_ = np.linalg.lstsq(basis, signal[:, i], rcond=None)
            assert fit.s0[i] == pytest.approx(amplitude, rel=1e-5)
            assert fit.sigma[i] == pytest.approx(np.sqrt(residual / 3), rel=1e-4)


def test_sigma_is_the_noise() -> None:
    clean = decay(EQUAL_S, np.full(20000, 25.0))
    noisy = clean + np.random.default_rng(10).normal(0, 12.0, clean.shape)
    fit = fit_r2star(noisy, EQUAL_S)
    assert np.sqrt(np.mean(fit.sigma.astype(np.float64) ** 2)) == pytest.approx(12.0, rel=0.01)


@EXACT
def test_two_echoes_are_solved_exactly(method: str) -> None:
    times = np.array([0.005, 0.021])
    fit = fit_r2star(np.array([[900.0, 100.0], [300.0, 99.0]]), times, method)
    expected = np.log([3, 100 / 99]) / 0.016
    np.testing.assert_allclose(fit.r2star, expected, rtol=1e-5)
    np.testing.assert_allclose(fit.s0, np.array([900, 100]) * np.exp(0.005 * expected), rtol=1e-5)
    np.testing.assert_array_equal(fit.sigma, 0)


@METHODS
def test_a_rising_signal_has_no_decay(method: str) -> None:
    times = EQUAL_S[:5] if method == "arlo" else UNEQUAL_S
    signal = np.array([[1.0, 5, 7], [2, 5, 9], [3, 5, 9], [4, 5, 8], [6, 5, 10]])
    fit = fit_r2star(signal, times, method)
    np.testing.assert_array_equal(fit.r2star, 0)
    np.testing.assert_allclose(fit.r_squared, [0, 1, 0], atol=1e-6)
    assert (fit.n_at_zero, fit.n_at_max, fit.n_invalid) == (3, 0, 0)
    np.testing.assert_allclose(fit.s0, signal.mean(0), rtol=1e-6)


@EXACT
def test_a_signal_faster_than_any_echo_stays_at_the_bound(method: str) -> None:
    fit = fit_r2star(np.array([[5.0], [0], [0], [0], [0]]), UNEQUAL_S, method)
    assert fit.r2star[0] == R2STAR_MAX_PER_S
    assert (fit.n_at_zero, fit.n_at_max) == (0, 1)
    assert np.isfinite([fit.s0[0], fit.sigma[0]]).all()


@METHODS
def test_voxels_without_a_usable_signal_are_counted_and_zero(method: str) -> None:
    good = decay(EQUAL_S, np.array([20.0, 40.0]))
    bad = np.tile(good[:, :1], (1, 7))
    bad[:, 0] = 0
    bad[2, 1] = np.nan
    bad[5, 2] = np.inf
    bad[1, 3] = -1
    bad[0, 4] = -np.inf
    bad[:2, 5] = -1, np.nan  # not finite goes before negative
    bad[:, 6] = -0.0
    fit = fit_r2star(np.hstack([good[:, :1], bad, good[:, 1:]]), EQUAL_S, method)
    assert (fit.n_nonfinite, fit.n_negative, fit.n_zero, fit.n_invalid) == (4, 1, 2, 7)
    assert (fit.n_at_zero, fit.n_at_max) == (0, 0)
    for values in (fit.r2star, fit.s0, fit.sigma, fit.r_squared):
        np.testing.assert_array_equal(values[1:8], 0)
    alone = fit_r2star(good, EQUAL_S, method)
    np.testing.assert_allclose(fit.r2star[[0, 8]], alone.r2star, rtol=1e-6)
    np.testing.assert_allclose(alone.r2star, [20, 40], rtol=0.005)


def test_a_single_zero_among_the_echoes_is_a_sample_like_any_other() -> None:
    signal = decay(EQUAL_S, np.array([60.0]))
    signal[5] = 0
    assert fit_r2star(signal, EQUAL_S).n_invalid == 0
    rate = fit_r2star(signal, EQUAL_S).r2star[0]
    assert rate == pytest.approx(scipy_rate(EQUAL_S, signal[:, 0]), rel=1e-4)


@METHODS
def test_voxels_do_not_depend_on_each_other_nor_on_their_number(method: str) -> None:
    rate = np.linspace(5, 120, 40000)  # several chunks
    signal = rician(decay(EQUAL_S, rate), 10, seed=11).astype(np.float32)
    before = signal.copy()
    whole = fit_r2star(signal, EQUAL_S, method).r2star
    np.testing.assert_array_equal(signal, before)
    for start in (0, 12280, 24570, 39990):
        part = fit_r2star(signal[:, start : start + 10], EQUAL_S, method).r2star
        np.testing.assert_allclose(whole[start : start + 10], part, rtol=1e-6)
    mixed = np.random.default_rng(0).permutation(rate.size)
    shuffled = fit_r2star(signal[:, mixed], EQUAL_S, method).r2star
    np.testing.assert_allclose(shuffled, whole[mixed], rtol=1e-6)


@pytest.mark.parametrize(
    "options", [{}, {"noise_floor": 300.0}, {"rician_sigma": 250.0}], ids=["plain", "cut", "rice"]
)
def test_threads_give_the_same_bytes(options: dict[str, float]) -> None:
    signal = rician(decay(EQUAL_S, np.linspace(0, 300, 30000)), 250, seed=13)
    signal[3, ::100] = np.nan
    one = fit_r2star(signal, EQUAL_S, **options)
    for n_threads in (2, 5):
        more = fit_r2star(signal, EQUAL_S, **options, n_threads=n_threads)
        for name, value in vars(one).items():
            np.testing.assert_array_equal(getattr(more, name), value, err_msg=name)
    with pytest.raises(UsageError, match="n_threads must be 1 or more, found 0"):
        fit_r2star(signal, EQUAL_S, n_threads=0)


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    signal = rician(decay(EQUAL_S, np.linspace(0, 300, 3000)), 100, seed=14)
    signal[:, 7] = 0
    whole = fit_r2star(signal, EQUAL_S)
    monkeypatch.setattr(relaxometry, "_CHUNK", 131)
    parts = fit_r2star(signal, EQUAL_S)
    np.testing.assert_allclose(parts.r2star, whole.r2star, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(parts.r_squared, whole.r_squared, rtol=1e-6, atol=1e-6)
    assert (parts.n_zero, parts.n_at_zero, parts.n_at_max) == (1, whole.n_at_zero, whole.n_at_max)


def test_noise_alone_is_never_fitted_worse_than_by_its_start() -> None:
    signal = rician(np.zeros((6, 20000)), 1.0, seed=15)
    start = np.asarray(fit_r2star(signal, EQUAL_S, "loglin").r2star, np.float64)
    found = np.asarray(fit_r2star(signal, EQUAL_S).r2star, np.float64)
    assert (_cost(signal, EQUAL_S, found) <= _cost(signal, EQUAL_S, start) * (1 + 1e-7)).all()
    grid = np.concatenate([np.arange(0, 300, 4.0), np.arange(300, 1001, 50.0)])
    best = np.min([_cost(signal, EQUAL_S, np.full(20000, r)) for r in grid], axis=0)
    worse = _cost(signal, EQUAL_S, found) > best * (1 + 1e-6)
    assert worse.mean() < 0.02  # a second, local minimum


@METHODS
@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6, 1e12])
def test_the_scale_of_the_signal_is_free(method: str, scale: float) -> None:
    signal = rician(decay(EQUAL_S, np.linspace(0, 300, 500), 1.0), 0.05, seed=16)
    signal[3, 10:20], signal[1:, 20], signal[0, 21] = 0, 0, 0
    one, other = (fit_r2star(s, EQUAL_S, method) for s in (signal, scale * signal))
    np.testing.assert_allclose(one.r2star, other.r2star, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(one.s0 * scale, other.s0, rtol=1e-5)
    np.testing.assert_allclose(one.sigma * scale, other.sigma, rtol=1e-4, atol=1e-7 * scale)
    np.testing.assert_allclose(one.r_squared, other.r_squared, atol=1e-5)


@METHODS
@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.uint16, np.int64, np.dtype(">f4")])
def test_any_real_dtype_is_taken(method: str, dtype: np.dtype[np.float32]) -> None:
    signal = np.round(rician(decay(EQUAL_S, np.linspace(0, 300, 200), 30000.0), 300, seed=17))
    signal = np.minimum(signal, 32767)
    wide = fit_r2star(signal, EQUAL_S, method)
    np.testing.assert_array_equal(
        fit_r2star(signal.astype(dtype), EQUAL_S, method).r2star, wide.r2star
    )
    fortran = fit_r2star(np.asfortranarray(signal.astype(dtype)), EQUAL_S, method)
    np.testing.assert_array_equal(fortran.r2star, wide.r2star)


def test_strange_signals_stay_finite_and_in_range() -> None:
    """All patterns of 0, tiny, small and large over four echoes."""
    levels = np.array([0.0, 1e-9, 1.0, 1e9])
    signal = np.stack(np.meshgrid(*[levels] * 4, indexing="ij")).reshape(4, -1)
    for method in R2STAR_METHODS:
        fit = fit_r2star(signal, EQUAL_S[:4], method)
        assert fit.n_invalid == fit.n_zero == 1
        for values in (fit.r2star, fit.s0, fit.sigma, fit.r_squared):
            assert np.isfinite(values).all()
        assert (fit.r2star >= 0).all()
        assert (fit.r2star <= R2STAR_MAX_PER_S).all()
        assert (fit.r_squared <= 1).all()


def test_r_squared_is_what_the_curve_explains() -> None:
    signal = rician(decay(UNEQUAL_S, np.array([15.0, 30.0, 60.0])), 50, seed=18)
    fit = fit_r2star(signal, UNEQUAL_S)
    for i in range(3):
        curve = float(fit.s0[i]) * np.exp(-UNEQUAL_S * float(fit.r2star[i]))
        residual = np.sum((signal[:, i] - curve) ** 2)
        total = np.sum((signal[:, i] - signal[:, i].mean()) ** 2)
        assert fit.r_squared[i] == pytest.approx(1 - residual / total, abs=1e-5)
        assert 0 < fit.r_squared[i] < 1


def test_neither_torch_nor_scipy_is_imported() -> None:
    code = (
        "import sys, bids_xai.core.relaxometry.fit;"
        "print([m for m in ('torch', 'scipy') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_scaling_the_signal_scales_s0_only() -> None:
    signal = rician(decay(EQUAL_S, np.linspace(5, 100, 50)), 15, seed=12)
    small, large = fit_r2star(signal, EQUAL_S), fit_r2star(signal * 1e6, EQUAL_S)
    np.testing.assert_allclose(small.r2star, large.r2star, rtol=1e-5)
    np.testing.assert_allclose(small.s0 * 1e6, large.s0, rtol=1e-5)


def test_no_voxels_give_empty_maps() -> None:
    fit = fit_r2star(np.zeros((6, 0)), EQUAL_S)
    assert fit.r2star.shape == (0,)
    assert fit.n_invalid == 0


@pytest.mark.parametrize(
    ("times", "text"),
    [
        ([0.005], "at least two echoes, found 1"),
        ([], "at least two echoes, found 0"),
        ([4.92, 9.84], "milliseconds"),
        ([0.01, 0.005], "all different"),
        ([0.01, 0.01], "all different"),
        ([0.0, 0.01], "positive"),
        ([-0.01, 0.01], "positive"),
        ([0.01, float("nan")], "positive"),
    ],
)
def test_unusable_echo_times_are_refused(times: list[float], text: str) -> None:
    with pytest.raises(BadDataError, match=text) as caught:
        check_echo_times(np.array(times))
    assert caught.value.fix
    with pytest.raises(BadDataError, match=text):
        fit_r2star(np.ones((len(times), 3)), np.array(times))


def test_shapes_and_methods_are_checked() -> None:
    with pytest.raises(BadDataError, match=r"\(5, 3\) does not fit 6"):
        fit_r2star(np.ones((5, 3)), EQUAL_S)
    with pytest.raises(BadDataError, match="n_echoes, n_voxels"):
        fit_r2star(np.ones(6), EQUAL_S)
    with pytest.raises(
        UsageError, match=r"unknown R2\* method 'magic'.*nlls, loglin, arlo, numart2s"
    ):
        fit_r2star(np.ones((6, 3)), EQUAL_S, "magic")
