"""Least squares on the magnitudes: the rate that minimises the residuals."""

from __future__ import annotations

from bids_xai.core.relaxometry.closed_forms import loglin
from bids_xai.core.relaxometry.echoes import R2STAR_MAX_PER_S, Array, Echoes, columns, decay, within

_DENSE_STEPS = 4  # Newton steps of all voxels together; most need no more
_DENSE_TOLERANCE_PER_S = 1e-3  # a Newton step of this size leaves an error of about its square
_GUARDED_STEPS = 60
_GUARDED_TOLERANCE_PER_S = 1e-6
_ROUNDING = 1e-14


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
    result, voxels = xp.zeros_like(start), start >= 0
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
        result[voxels] = best
        if not moving.any():
            break
        voxels = within(voxels, moving)
        signal, weight = columns(signal, moving), columns(weight, moving)
        rate, best, best_fit = rate[moving], best[moving], best_fit[moving]
    return result
