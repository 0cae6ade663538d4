"""R2* and S0 from multi-echo magnitude signals, voxel by voxel.

The model is :math:`S(t) = S_0 e^{-t R_2^*}` with t in seconds and R2* in 1/s (tinauer2025, eq. 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.errors import BadDataError, UsageError

Floats = NDArray[np.floating[Any]]

R2STAR_METHODS = ("nlls", "loglin")
R2STAR_MAX_PER_S = 1000.0
_CHUNK = 1 << 14  # voxels at a time: the working set stays in the processor's cache
_NEWTON_STEPS = 40  # most voxels need four; noise near the floor takes the most
_TOLERANCE_PER_S = 1e-5


@dataclass(frozen=True)
class R2StarFit:
    """Result of :func:`fit_r2star`; every array is (n_voxels,) float32.

    ``r2star`` in 1/s (0 to 1000), ``s0`` in units of the signal, ``sigma`` the standard deviation
    of the residuals in units of the signal (n_echoes − 2 degrees of freedom; 0 for two echoes).
    ``n_invalid`` counts voxels with a negative or non-finite sample or without any signal;
    they are 0 in every map.
    """

    r2star: Floats
    s0: Floats
    sigma: Floats
    n_invalid: int


def check_echo_times(echo_times_s: Floats) -> NDArray[np.float64]:
    """Return the echo times as (n_echoes,) float64; they must be positive and increasing seconds.

    Raises :class:`BadDataError` for fewer than two echoes, times that do not increase, or times
    of a second and more, which are milliseconds in disguise.
    """
    times = np.asarray(echo_times_s, dtype=np.float64).ravel()
    if times.size < 2:
        raise BadDataError(
            f"R2* needs at least two echoes, found {times.size}",
            fix="give every echo of the series as its own file with echo-<n> in its name",
        )
    if not np.all(np.isfinite(times)) or times[0] <= 0 or np.any(np.diff(times) <= 0):
        raise BadDataError(
            f"echo times must be positive and all different, found {times.tolist()} s",
            fix="correct EchoTime in the sidecars",
        )
    if times[-1] >= 1.0:
        raise BadDataError(
            f"echo times up to {times[-1]:g} s look like milliseconds",
            fix="write EchoTime in seconds (BIDS), for example 0.00492",
        )
    return times


def fit_r2star(signal: Floats, echo_times_s: Floats, method: str = "nlls") -> R2StarFit:
    r"""Fit :math:`S(t) = S_0 e^{-t R_2^*}` voxel by voxel, with R2* ≥ 0 and S0 ≥ 0.

    signal : (n_echoes, n_voxels) magnitude, arbitrary units, ≥ 0
    echo_times_s : (n_echoes,) seconds, strictly increasing
    method : ``nlls``, least squares on the magnitudes: S0 is eliminated (variable projection) and
        the remaining one-dimensional problem is solved by a safeguarded Newton iteration from the
        ``loglin`` solution; or ``loglin``, least squares on log S with weights S², which is how
        the noise of S propagates to log S.

    Raises :class:`BadDataError` for unusable echo times or shapes, :class:`UsageError` for an
    unknown method.
    """
    if method not in R2STAR_METHODS:
        raise UsageError(
            f"unknown R2* method '{method}'", fix=f"choose one of {', '.join(R2STAR_METHODS)}"
        )
    times = check_echo_times(echo_times_s)
    samples = np.asarray(signal)
    if samples.ndim != 2 or samples.shape[0] != times.size:
        raise BadDataError(
            f"signal of shape {samples.shape} does not fit {times.size} echo times",
            fix="give the signal as (n_echoes, n_voxels)",
        )
    n_voxels = samples.shape[1]
    maps = np.zeros((3, n_voxels), dtype=np.float32)
    n_invalid = 0
    for start in range(0, n_voxels, _CHUNK):
        part = np.asarray(samples[:, start : start + _CHUNK], dtype=np.float64)
        valid = np.isfinite(part).all(axis=0) & (part >= 0).all(axis=0) & (part > 0).any(axis=0)
        n_invalid += int(valid.size - valid.sum())
        maps[:, start : start + _CHUNK][:, valid] = _fit_valid(part[:, valid], times, method)
    return R2StarFit(maps[0], maps[1], maps[2], n_invalid)


def _fit_valid(
    signal: NDArray[np.float64], times: NDArray[np.float64], method: str
) -> NDArray[np.float64]:
    rate = _weighted_loglin(signal, times)
    if method == "nlls":
        rate = _refine(signal, times, rate)
    basis = np.exp(-times[:, None] * rate)
    s0 = (signal * basis).sum(0) / (basis * basis).sum(0)
    freedom = times.size - 2
    residual = ((signal - s0 * basis) ** 2).sum(0)
    sigma = np.sqrt(residual / freedom) if freedom else np.zeros_like(rate)
    return np.stack([rate, s0, sigma])


def _weighted_loglin(
    signal: NDArray[np.float64], times: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Slope of log S against t with weights S²; zeros carry no weight."""
    weight = signal * signal
    log_signal = np.log(np.where(signal > 0, signal, 1.0))
    total = weight.sum(0)
    mean_time = (times @ weight) / total
    mean_log = (weight * log_signal).sum(0) / total
    centred = times[:, None] - mean_time
    spread = (weight * centred * centred).sum(0)
    slope = (weight * centred * (log_signal - mean_log)).sum(0)
    rate = np.divide(-slope, spread, out=np.full_like(slope, R2STAR_MAX_PER_S), where=spread > 0)
    return np.asarray(np.clip(rate, 0.0, R2STAR_MAX_PER_S))


def _moments(
    signal: NDArray[np.float64], times: NDArray[np.float64], rate: NDArray[np.float64]
) -> tuple[NDArray[np.float64], ...]:
    """Σ tᵏ S e and Σ tᵏ e² for k = 0, 1, 2, with e = exp(−t·rate)."""
    basis = np.exp(-times[:, None] * rate)
    product, square = signal * basis, basis * basis
    powers = np.stack([np.ones_like(times), times, times**2])
    return (*(powers @ product), *(powers @ square))


def _refine(
    signal: NDArray[np.float64], times: NDArray[np.float64], start: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Minimise Σ (S − S0 e)² over R2* with S0 = Σ S e / Σ e² put in.

    The derivative of the reduced cost has the sign of
    F = Σ t S e · Σ e² − Σ S e · Σ t e²: negative where R2* is too low … its Newton step is taken
    where the cost is locally convex, a step along the slope elsewhere; the result is never worse
    than the start.
    """
    rate = start.copy()
    best = start.copy()
    best_fit = np.full_like(start, -np.inf)
    active = np.arange(start.size)
    for _ in range(_NEWTON_STEPS):
        samples, here = signal[:, active], rate[active]
        se, tse, ttse, ee, tee, ttee = _moments(samples, times, here)
        explained = se * se / ee  # Σ S² − cost
        better = explained > best_fit[active]
        best[active[better]], best_fit[active[better]] = here[better], explained[better]
        slope = tse * ee - se * tee
        curvature = -ttse * ee - tse * tee + 2.0 * se * ttee
        step = np.where(curvature > 0, -slope / np.where(curvature > 0, curvature, 1.0), 0.0)
        step = np.where(curvature > 0, step, -np.sign(slope) * 0.5 * (here + 1.0))
        # a step that made things worse is halved back towards the best point so far
        target = np.where(better, here + step, 0.5 * (here + best[active]))
        target = np.clip(target, 0.0, R2STAR_MAX_PER_S)
        rate[active] = target
        active = active[np.abs(target - here) > _TOLERANCE_PER_S]
        if active.size == 0:
            break
    se, _, _, ee, _, _ = _moments(signal, times, rate)
    return np.where(se * se / ee >= best_fit, rate, best)
