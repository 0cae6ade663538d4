"""Estimators of R2* by a closed formula: weighted line, auto-regression, integration."""

from __future__ import annotations

from bids_xai.core.relaxometry.echoes import R2STAR_MAX_PER_S, Array, Echoes


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
