"""Greatest likelihood under Rician noise."""

from __future__ import annotations

from typing import Any

from bids_xai.core.relaxometry.echoes import Array, Echoes, amplitude, columns, decay, within
from bids_xai.core.relaxometry.least_squares import minimise, nlls

_EM_STEPS = 100
_EM_TOLERANCE_PER_S = 1e-3
_BESSEL_DEPTH = 16


def rician(signal: Array, weight: Array | None, sigma: float, echoes: Echoes) -> Array:
    """Rate of greatest likelihood under Rician noise of standard deviation ``sigma``.

    Expectation–maximisation, with the phase of every sample as what is missing: the expected
    component of S along the true signal μ is S · I₁(Sμ/σ²)/I₀(Sμ/σ²), and least squares on these
    give the next μ. Starts from :func:`nlls`.
    """
    xp = echoes.xp
    rate = nlls(signal, weight, echoes)
    result, voxels = xp.zeros_like(rate), rate >= 0
    clean = amplitude(signal, weight, rate, echoes) * decay(rate, signal, echoes)
    for _ in range(_EM_STEPS):
        aligned = signal * bessel_ratio(signal * clean / sigma**2, xp)
        new = minimise(aligned, weight, rate, echoes)
        clean = amplitude(aligned, weight, new, echoes) * decay(new, aligned, echoes)
        moving = xp.abs(new - rate) > _EM_TOLERANCE_PER_S
        result[voxels] = rate = new
        if not moving.any():
            break
        voxels = within(voxels, moving)
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
