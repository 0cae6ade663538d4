"""R2* and S0 from multi-echo magnitude signals, voxel by voxel.

The model is :math:`S(t) = S_0 e^{-t R_2^*}` with t in seconds and R2* in 1/s (tinauer2025, eq. 1).
The estimators are in ``closed_forms``, ``least_squares`` and ``rician`` of this package;
``docs/r2star.md`` compares them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.arrays import Floats, Floats32, Floats64, Ints
from bids_xai.core.relaxometry.echoes import R2STAR_MAX_PER_S, Echoes, spacing_deviation
from bids_xai.core.relaxometry.noise import noise_sigma
from bids_xai.core.relaxometry.voxels import N_COUNTS, N_MAPS, FitPlan, fit_part
from bids_xai.errors import BadDataError, UsageError

__all__ = [
    "NOISE_FLOOR_METHODS",
    "R2STAR_MAX_PER_S",
    "R2STAR_METHODS",
    "R2StarFit",
    "check_echo_times",
    "fit_r2star",
    "noise_sigma",
]


R2STAR_METHODS = ("nlls", "loglin", "arlo", "numart2s")
NOISE_FLOOR_METHODS = ("nlls", "loglin")
_SPACING_TOLERANCE = 0.01  # echo times in sidecars are rounded
_CHUNK = 12 * 1024  # voxels at a time: the working set stays in the processor's cache


@dataclass(frozen=True)
class R2StarFit:
    """Result of :func:`fit_r2star`; every map is (n_voxels,) float32 and 0 in invalid voxels.

    ``r2star`` in 1/s (0 to 1000), ``s0`` in units of the signal, ``sigma`` the standard deviation
    of the residuals S − S0 e in units of the signal (echoes used − 2 degrees of freedom; 0 for two
    echoes). ``r_squared`` = 1 − Σ residual² / Σ (S − mean S)² over the echoes used: 1 for a
    perfect fit, and for a signal that is the same at every echo (R2* = 0 meets it); 0 where a
    constant does as well; below 0 where it does better, which can happen to all estimators but
    ``nlls`` without ``rician_sigma``.

    ``n_invalid`` = ``n_nonfinite`` (a sample is NaN or infinite) + ``n_negative`` (finite, a
    sample below 0) + ``n_zero`` (no signal at any echo used). ``n_at_zero`` and ``n_at_max``
    count valid voxels at the bounds R2* = 0 and 1000. ``n_echoes_used`` (n_voxels,) uint8, or
    None without a noise floor.
    """

    r2star: Floats32
    s0: Floats32
    sigma: Floats32
    n_invalid: int
    r_squared: Floats32
    n_nonfinite: int
    n_negative: int
    n_zero: int
    n_at_zero: int
    n_at_max: int
    n_echoes_used: NDArray[np.uint8] | None = None


def check_echo_times(echo_times_s: Floats) -> Floats64:
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


def fit_r2star(
    signal: Floats,
    echo_times_s: Floats,
    method: str = "nlls",
    *,
    noise_floor: float | None = None,
    rician_sigma: float | None = None,
    n_threads: int = 1,
    device: str = "cpu",
) -> R2StarFit:
    r"""Fit :math:`S(t) = S_0 e^{-t R_2^*}` voxel by voxel, with R2* in 0 to 1000 1/s and S0 ≥ 0.

    signal : (n_echoes, n_voxels) magnitude, arbitrary units, ≥ 0, any real dtype
    echo_times_s : (n_echoes,) seconds, strictly increasing
    method : ``nlls``, least squares on the magnitudes: S0 is eliminated (variable projection) and
        the remaining one-dimensional problem is solved by a safeguarded Newton iteration from the
        ``loglin`` solution; ``loglin``, least squares on log S with weights S², which is how the
        noise of S propagates to log S (a voxel with a single sample above 0 has R2* = 0, or 1000
        if it is the first); ``arlo`` (Pei 2015), three equally spaced echoes or more; or
        ``numart2s`` (Hagberg 2002), trapezoid rule, any spacing. S0 of all methods is the
        least-squares amplitude at the fitted R2*.
    noise_floor : in units of the signal, for ``nlls`` and ``loglin``. The first echo of a voxel
        below it is left out, and so are all later ones; the first two always stay. See
        :func:`noise_sigma`.
    rician_sigma : standard deviation of the noise in each of the real and imaginary channel, in
        units of the signal, for ``nlls``: maximum likelihood under Rician noise instead of least
        squares (expectation–maximisation).
    n_threads : threads that share the voxels on the processor; the result is the same bytes.
        Python's lock lets them gain little; one thread does eight million voxels a second.
    device : ``cpu`` (numpy), ``cuda`` or ``cuda:<i>`` (torch, float64, the same algorithm).

    Raises :class:`BadDataError` for unusable echo times or shapes, :class:`UsageError` for an
    unknown method or device and for options that a method does not have.
    """
    times = check_echo_times(echo_times_s)
    plan = FitPlan(times, method, noise_floor, rician_sigma)
    _check_plan(plan)
    if n_threads < 1:
        raise UsageError(f"n_threads must be 1 or more, found {n_threads}", fix="give 1")
    samples = np.asarray(signal)
    if samples.ndim != 2 or samples.shape[0] != times.size:
        raise BadDataError(
            f"signal of shape {samples.shape} does not fit {times.size} echo times",
            fix="give the signal as (n_echoes, n_voxels)",
        )
    maps, counts = _runner(device, n_threads)(samples, plan)
    return _result(maps, counts.tolist(), noise_floor is not None)


Runner = Callable[[NDArray[Any], FitPlan], tuple[Floats32, Ints]]


def _check_plan(plan: FitPlan) -> None:
    if plan.method not in R2STAR_METHODS:
        raise UsageError(
            f"unknown R2* method '{plan.method}'", fix=f"choose one of {', '.join(R2STAR_METHODS)}"
        )
    _check_option("noise_floor", plan.noise_floor, plan.method, NOISE_FLOOR_METHODS)
    _check_option("rician_sigma", plan.rician_sigma, plan.method, ("nlls",))
    if plan.method == "arlo":
        check_method(plan.times_s, plan.method)


def _check_option(name: str, value: float | None, method: str, methods: tuple[str, ...]) -> None:
    if value is None:
        return
    if method not in methods:
        raise UsageError(
            f"R2* method '{method}' has no {name}", fix=f"use {' or '.join(methods)}, or no {name}"
        )
    if not (np.isfinite(value) and value > 0):
        raise UsageError(f"{name} must be above 0, found {value}", fix=f"leave {name} out")


def check_method(echo_times_s: Floats | Sequence[float], method: str) -> None:
    """Raise :class:`BadDataError` for echo times (in s) that a method of R2* cannot use."""
    times_s = np.asarray(echo_times_s, dtype=np.float64)
    if method != "arlo":
        return
    if times_s.size < 3:
        raise BadDataError(
            f"R2* method 'arlo' needs at least three echoes, found {times_s.size}",
            fix="use nlls, loglin or numart2s",
        )
    if spacing_deviation(times_s) > _SPACING_TOLERANCE:
        raise BadDataError(
            f"R2* method 'arlo' needs equally spaced echoes, found {times_s.tolist()} s",
            fix="use nlls, loglin or numart2s, which accept any spacing",
        )


def _runner(device: str, n_threads: int) -> Runner:
    if device == "cpu":
        return lambda samples, plan: _fit_on_cpu(samples, plan, n_threads)
    if not re.fullmatch(r"cuda(:\d+)?", device):
        raise UsageError(f"unknown device '{device}'", fix="use cpu, cuda or cuda:<i>")
    from bids_xai.core.relaxometry.on_device import fit_on_device

    return lambda samples, plan: fit_on_device(samples, plan, device)


def _fit_on_cpu(samples: NDArray[Any], plan: FitPlan, n_threads: int) -> tuple[Floats32, Ints]:
    """Chunk by chunk; numpy releases the interpreter's lock within its operations."""
    echoes = Echoes.of(plan.times_s, np)
    maps = np.zeros((N_MAPS, samples.shape[1]), dtype=np.float32)

    def fit_chunk(start: int) -> list[int]:
        part = np.array(samples[:, start : start + _CHUNK], dtype=np.float64, order="C")
        with np.errstate(all="ignore"):  # 0/0 of degenerate voxels, replaced afterwards
            fitted, counts_of_part = fit_part(part, plan, echoes)
            maps[:, start : start + _CHUNK] = fitted
        return counts_of_part

    starts = range(0, samples.shape[1], _CHUNK)
    if n_threads == 1:
        counts = [fit_chunk(start) for start in starts]
    else:
        with ThreadPoolExecutor(n_threads) as pool:
            counts = list(pool.map(fit_chunk, starts))
    return maps, np.array(counts, dtype=np.int64).reshape(-1, N_COUNTS).sum(axis=0)


def _result(maps: Floats32, counts: list[int], cut: bool) -> R2StarFit:
    nonfinite, negative, zero, at_zero, at_max = counts
    return R2StarFit(
        r2star=maps[0],
        s0=maps[1],
        sigma=maps[2],
        n_invalid=nonfinite + negative + zero,
        r_squared=maps[3],
        n_nonfinite=nonfinite,
        n_negative=negative,
        n_zero=zero,
        n_at_zero=at_zero,
        n_at_max=at_max,
        n_echoes_used=maps[4].astype(np.uint8) if cut else None,
    )
