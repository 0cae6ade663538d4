"""The estimators of :mod:`bids_xai.core.relaxometry.fit`, written once for numpy and torch.

Arrays are (n_echoes, n_voxels) or (n_voxels,) float64 of the library in :attr:`Echoes.xp`; every
operation is per voxel, so that a voxel never depends on its neighbours. Rates are R2* in 1/s and
times are seconds after the first echo: the decay until then belongs to the amplitude.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bids_xai.arrays import Floats64

Array = Any  # numpy.ndarray or torch.Tensor, float64
R2STAR_MAX_PER_S = 1000.0

_DENSE_STEPS = 4  # Newton steps of all voxels together; most need no more
_DENSE_TOLERANCE_PER_S = 1e-3  # a Newton step of this size leaves an error of about its square
_GUARDED_STEPS = 60
_GUARDED_TOLERANCE_PER_S = 1e-6
_EM_STEPS = 100
_EM_TOLERANCE_PER_S = 1e-3
_BESSEL_DEPTH = 16
N_MAPS = N_COUNTS = 5  # of fit_part
_ROUNDING = 1e-14
_EQUAL_SPACING = 1e-9  # relative; below it one exponential serves all echoes


@dataclass(frozen=True)
class Plan:
    """What :func:`fit_part` is to do; the fields are the arguments of ``fit_r2star``."""

    times_s: Floats64
    method: str
    noise_floor: float | None
    rician_sigma: float | None


@dataclass(frozen=True)
class Echoes:
    """Echo times as the estimators want them.

    ``elapsed`` seconds after the first echo; ``first_s`` its echo time; ``powers`` (3, n_echoes)
    elapsed⁰, elapsed¹, elapsed²; ``spacing`` in seconds, or None where echoes are not equally far
    apart; ``xp`` numpy or torch.
    """

    xp: Any
    first_s: float
    elapsed: tuple[float, ...]
    powers: Array
    spacing: float | None

    @classmethod
    def of(cls, times_s: Floats64, xp: Any, convert: Any = np.asarray) -> Echoes:
        """Prepare times (n_echoes,); ``convert`` turns a numpy array into one of ``xp``."""
        elapsed = times_s - times_s[0]
        powers = convert(np.stack([np.ones_like(elapsed), elapsed, elapsed**2]))
        equal = spacing_deviation(times_s) < _EQUAL_SPACING
        spacing = float(elapsed[-1] / (elapsed.size - 1)) if equal else None
        return cls(xp, float(times_s[0]), tuple(elapsed.tolist()), powers, spacing)


def spacing_deviation(times_s: Floats64) -> float:
    """Largest deviation of an echo spacing from their mean, as a share of the mean."""
    gaps = np.diff(times_s)
    return float(np.abs(gaps / gaps.mean() - 1.0).max())


def decay(rate: Array, like: Array, echoes: Echoes) -> Array:
    """exp(−t·rate), in the shape of ``like`` (n_echoes, n_voxels)."""
    xp = echoes.xp
    basis = xp.empty_like(like)
    basis[0] = 1.0
    if echoes.spacing is None:
        for row, time in enumerate(echoes.elapsed[1:], start=1):
            xp.exp(rate * -time, out=basis[row])
        return basis
    xp.exp(rate * -echoes.spacing, out=basis[1])
    for row in range(2, len(echoes.elapsed)):
        xp.multiply(basis[row - 1], basis[1], out=basis[row])
    return basis


# ---- closed formulas -----------------------------------------------------------------------------


def loglin(signal: Array, echoes: Echoes) -> Array:
    """Slope of log S against t by least squares with weights S²; zeros carry no weight.

    With a single sample above zero there is no slope: 0, or the upper bound where it is the first
    echo (all later ones have decayed). The same goes for samples so far apart in size that
    float64 cannot tell.
    """
    xp = echoes.xp
    weight = signal * signal
    log_signal = xp.log(xp.clip(signal, 1e-300, None))
    w, tw, ttw = echoes.powers @ weight
    wl, twl = echoes.powers[:2] @ (weight * log_signal)
    spread = w * ttw - tw * tw
    rate = (tw * wl - w * twl) / spread
    rate[~(spread > 1e-12 * w * ttw)] = 0.0
    rate[~(ttw > 0)] = R2STAR_MAX_PER_S
    return xp.clip(rate, 0.0, R2STAR_MAX_PER_S)


def arlo(signal: Array, echoes: Echoes) -> Array:
    """Auto-regression on linear operations (Pei 2015), for equally spaced echoes.

    With Simpson's integral I_i over three neighbours and δ_i = S_i − S_{i+2},
    R2* = (Δ/3 Σδ² + Σ Iδ) / (Σ I² + Δ/3 Σ Iδ). Its error without noise is below (R2*Δ)⁴/180.
    """
    third = echoes.elapsed[-1] / (len(echoes.elapsed) - 1) / 3.0
    integral = third * (signal[:-2] + 4.0 * signal[1:-1] + signal[2:])
    drop = signal[:-2] - signal[2:]
    cross = (integral * drop).sum(0)
    rise = third * (drop * drop).sum(0) + cross
    return _bounded_ratio(rise, (integral * integral).sum(0) + third * cross, echoes)


def numart2s(signal: Array, echoes: Echoes) -> Array:
    """Numerical integration (Hagberg 2002): R2* = (S_1 − S_n) / trapezoid of S over t.

    Its error without noise is below (R2*Δ)²/12, Δ the largest spacing, and always downwards.
    """
    half_gaps = 0.5 * (echoes.powers[1, 1:] - echoes.powers[1, :-1])
    area = half_gaps @ (signal[:-1] + signal[1:])
    return _bounded_ratio(signal[0] - signal[-1], area, echoes)


def _bounded_ratio(numerator: Array, denominator: Array, echoes: Echoes) -> Array:
    """numerator/denominator in [0, R2STAR_MAX_PER_S]; 0/0, a signal that only rises, is 0."""
    xp = echoes.xp
    rate = xp.clip(numerator / denominator, 0.0, R2STAR_MAX_PER_S)
    rate[~(denominator > 0)] = 0.0
    return rate


CLOSED_FORMS = {"loglin": loglin, "arlo": arlo, "numart2s": numart2s}


# ---- least squares on the magnitudes -------------------------------------------------------------


def nlls(signal: Array, weight: Array | None, echoes: Echoes) -> Array:
    """Rate that minimises Σ w (S − S0 e)², from the weighted log-linear start."""
    return minimise(signal, weight, loglin(signal, echoes), echoes)


def minimise(signal: Array, weight: Array | None, start: Array, echoes: Echoes) -> Array:
    """Minimise Σ w (S − S0 e)² over the rate with S0 = Σ S e / Σ w e² put in.

    ``signal`` is 0 where ``weight`` (0 or 1; None: all 1) is 0. All voxels take a few plain
    Newton steps; those that have not arrived, or went uphill, start again with a guard. The
    result is never worse than the start.
    """
    xp = echoes.xp
    rate, explained = start, []
    for _ in range(_DENSE_STEPS):
        slope, curvature, fit = _reduced(signal, weight, rate, echoes)
        explained.append(fit)
        step = slope / xp.abs(curvature)  # downhill, and Newton's where the cost is convex
        before, rate = rate, xp.clip(rate - step, 0.0, R2STAR_MAX_PER_S)
    arrived = (xp.abs(rate - before) < _DENSE_TOLERANCE_PER_S) & (curvature > 0)
    held = (rate == before) & (slope != 0)  # by a bound
    again = ~((arrived | held) & (explained[-1] >= explained[0] * (1.0 - _ROUNDING)))
    if again.any():
        some = (columns(signal, again), columns(weight, again))
        rate[again] = _guarded(*some, start[again], echoes)
    return rate


def _reduced(
    signal: Array, weight: Array | None, rate: Array, echoes: Echoes
) -> tuple[Array, Array, Array]:
    """Slope and curvature of the cost (to a positive factor), and what the curve explains.

    With e = exp(−t·rate) the slope has the sign of F = Σ t S e · Σ w e² − Σ S e · Σ w t e²: it is
    negative where the rate is too low. The curvature is dF/d rate; explained is Σ S² − cost.
    """
    basis = decay(rate, signal, echoes)
    square = basis * basis if weight is None else basis * basis * weight
    se, tse, ttse = echoes.powers @ (signal * basis)
    ee, tee, ttee = echoes.powers @ square
    slope = tse * ee - se * tee
    curvature = 2.0 * se * ttee - ttse * ee - tse * tee
    return slope, curvature, se * se / ee


def _guarded(signal: Array, weight: Array | None, start: Array, echoes: Echoes) -> Array:
    """:func:`minimise` with a guard: a step that does not improve is halved back to the best.

    Where the cost is not convex the step is half the rate (and at least 0.5 1/s) down the slope.
    """
    xp = echoes.xp
    result, place = xp.zeros_like(start), start >= 0
    rate, best, best_fit = start, start, xp.full_like(start, -1.0)
    for _ in range(_GUARDED_STEPS):
        slope, curvature, fit = _reduced(signal, weight, rate, echoes)
        better = fit > best_fit
        best, best_fit = xp.where(better, rate, best), xp.where(better, fit, best_fit)
        convex = curvature > 0
        step = xp.where(convex, -slope / curvature, -xp.sign(slope) * 0.5 * (rate + 1.0))
        target = xp.where(better, rate + step, 0.5 * (rate + best))
        target = xp.clip(target, 0.0, R2STAR_MAX_PER_S)
        moving = xp.abs(target - rate) > _GUARDED_TOLERANCE_PER_S
        rate = target
        result[place] = best
        if not moving.any():
            break
        place = _narrow(place, moving)
        signal, weight = columns(signal, moving), columns(weight, moving)
        rate, best, best_fit = rate[moving], best[moving], best_fit[moving]
    return result


def columns(array: Array | None, mask: Array) -> Array | None:
    """The voxels of (n_echoes, n_voxels) for which ``mask`` holds, row by row in memory."""
    if isinstance(array, np.ndarray):
        return array.compress(mask, axis=1)  # array[:, mask] would be column by column
    return None if array is None else array[:, mask]


def _narrow(place: Array, mask: Array) -> Array:
    """The voxels of ``place`` for which ``mask``, one value per voxel of ``place``, holds."""
    narrowed = place & ~place  # all false, in the library of the arrays
    narrowed[place] = mask
    return narrowed


# ---- Rician noise --------------------------------------------------------------------------------


def rician(signal: Array, weight: Array | None, sigma: float, echoes: Echoes) -> Array:
    """Rate of greatest likelihood under Rician noise of standard deviation ``sigma``.

    Expectation–maximisation, with the phase of every sample as what is missing: the expected
    component of S along the true signal μ is S · I₁(Sμ/σ²)/I₀(Sμ/σ²), and least squares on these
    give the next μ. Starts from :func:`nlls`.
    """
    xp = echoes.xp
    rate = nlls(signal, weight, echoes)
    result, place = xp.zeros_like(rate), rate >= 0
    clean = amplitude(signal, weight, rate, echoes) * decay(rate, signal, echoes)
    for _ in range(_EM_STEPS):
        aligned = signal * bessel_ratio(signal * clean / sigma**2, xp)
        new = minimise(aligned, weight, rate, echoes)
        clean = amplitude(aligned, weight, new, echoes) * decay(new, aligned, echoes)
        moving = xp.abs(new - rate) > _EM_TOLERANCE_PER_S
        result[place] = rate = new
        if not moving.any():
            break
        place = _narrow(place, moving)
        signal, weight = columns(signal, moving), columns(weight, moving)
        rate, clean = rate[moving], columns(clean, moving)
    return result


def bessel_ratio(x: Array, xp: Any) -> Array:
    """I₁(x)/I₀(x) for x ≥ 0, to 1e-5: recurrence downwards from a bound of Amos (1974)."""
    order = _BESSEL_DEPTH
    ratio = x / (order + 0.5 + xp.sqrt((order + 0.5) * (order + 1.5) + x * x))
    for order in range(_BESSEL_DEPTH - 1, -1, -1):
        ratio = x / (2.0 * (order + 1) + x * ratio)
    return ratio


# ---- what goes with a rate -----------------------------------------------------------------------


def amplitude(signal: Array, weight: Array | None, rate: Array, echoes: Echoes) -> Array:
    """Least-squares signal at the first echo, (n_voxels,)."""
    basis = decay(rate, signal, echoes)
    square = basis * basis if weight is None else basis * basis * weight
    return (signal * basis).sum(0) / square.sum(0)


def cut_late(signal: Array, noise_floor: float, xp: Any) -> Array:
    """Weights (n_echoes, n_voxels): 0 from the first echo below the floor on; two always stay."""
    weight = xp.ones_like(signal)
    kept = (signal[0] >= noise_floor) & (signal[1] >= noise_floor)
    for row in range(2, len(signal)):
        kept = kept & (signal[row] >= noise_floor)
        weight[row] = kept
    return weight


def describe(signal: Array, weight: Array | None, rate: Array, echoes: Echoes) -> list[Array]:
    """S0, sigma, R² and number of echoes used, each (n_voxels,)."""
    xp = echoes.xp
    basis = decay(rate, signal, echoes)
    product = (signal * basis).sum(0)
    square = (basis * basis if weight is None else basis * basis * weight).sum(0)
    used = xp.full_like(rate, float(len(signal))) if weight is None else weight.sum(0)
    power = (signal * signal).sum(0)
    unexplained = xp.clip(power - product * product / square, 0.0, None)
    total = power - signal.sum(0) ** 2 / used
    sigma = xp.sqrt(unexplained / xp.clip(used - 2.0, 1.0, None)) * (used > 2)
    quality = 1.0 - unexplained / total
    quality[~(total > _ROUNDING * power)] = 1.0
    s0 = product / square * xp.exp(rate * echoes.first_s)
    return [xp.clip(s0, None, float(np.finfo(np.float32).max)), sigma, quality, used]


# ---- a chunk of voxels ---------------------------------------------------------------------------


def fit_part(signal: Array, plan: Plan, echoes: Echoes) -> tuple[Array, list[int]]:
    """Fit (n_echoes, n_voxels) of any finite or non-finite numbers.

    Returns the maps (5, n_voxels): R2*, S0, sigma, R², echoes used, 0 in unusable voxels; and the
    numbers of voxels that are not finite, negative, without signal, at R2* = 0, at its maximum.
    """
    xp = echoes.xp
    low, high = xp.amin(signal, 0), xp.amax(signal, 0)
    finite = xp.isfinite(low) & xp.isfinite(high)
    weight = None
    if plan.noise_floor is not None:
        weight = cut_late(signal, plan.noise_floor, xp)
        signal = xp.where(weight > 0, signal, 0.0)
        high = xp.amax(signal, 0)
    usable = finite & (low >= 0) & (high > 0)
    maps = xp.zeros_like(xp.stack([low] * N_MAPS))
    if usable.all():
        maps[:] = fit_valid(signal, weight, plan, echoes)
    else:
        some = (columns(signal, usable), columns(weight, usable))
        maps[:, usable] = fit_valid(*some, plan, echoes)
    rate = maps[0]
    return maps, [
        int(mask.sum())
        for mask in (
            ~finite,
            finite & (low < 0),
            finite & (low >= 0) & (high <= 0),
            usable & (rate <= 0),
            usable & (rate >= R2STAR_MAX_PER_S),
        )
    ]


def fit_valid(signal: Array, weight: Array | None, plan: Plan, echoes: Echoes) -> Array:
    """The maps (5, n_voxels) of voxels whose samples are finite, not negative and not all 0."""
    if plan.rician_sigma is not None:
        rate = rician(signal, weight, plan.rician_sigma, echoes)
    elif plan.method == "nlls":
        rate = nlls(signal, weight, echoes)
    else:
        rate = CLOSED_FORMS[plan.method](signal, echoes)
    return echoes.xp.stack([rate, *describe(signal, weight, rate, echoes)])
