"""The fit of a chunk of voxels: which are usable, rate, amplitude, residuals, counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bids_xai.arrays import Floats64
from bids_xai.core.relaxometry.closed_forms import CLOSED_FORMS
from bids_xai.core.relaxometry.echoes import R2STAR_MAX_PER_S, Array, Echoes, columns, decay
from bids_xai.core.relaxometry.least_squares import nlls
from bids_xai.core.relaxometry.rician import rician

N_MAPS = N_COUNTS = 5  # of fit_part
_ROUNDING = 1e-14


@dataclass(frozen=True)
class FitPlan:
    """What :func:`fit_part` is to do; the fields are the arguments of ``fit_r2star``."""

    times_s: Floats64
    method: str
    noise_floor: float | None
    rician_sigma: float | None


def fit_part(signal: Array, plan: FitPlan, echoes: Echoes) -> tuple[Array, list[int]]:
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


def fit_valid(signal: Array, weight: Array | None, plan: FitPlan, echoes: Echoes) -> Array:
    """The maps (5, n_voxels) of voxels whose samples are finite, not negative and not all 0."""
    if plan.rician_sigma is not None:
        rate = rician(signal, weight, plan.rician_sigma, echoes)
    elif plan.method == "nlls":
        rate = nlls(signal, weight, echoes)
    else:
        rate = CLOSED_FORMS[plan.method](signal, echoes)
    return echoes.xp.stack([rate, *describe(signal, weight, rate, echoes)])


def cut_late(signal: Array, noise_floor: float, xp: Any) -> Array:
    """Weights (n_echoes, n_voxels): 0 from the first echo below the floor on; two always stay."""
    weight = xp.ones_like(signal)
    above = (signal[0] >= noise_floor) & (signal[1] >= noise_floor)
    for row in range(2, len(signal)):
        above = above & (signal[row] >= noise_floor)
        weight[row] = above
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
