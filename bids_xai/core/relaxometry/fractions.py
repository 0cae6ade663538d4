"""How much of a fitted map within a mask is no measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.arrays import Bools
from bids_xai.core.relaxometry.echoes import R2STAR_MAX_PER_S


@dataclass(frozen=True)
class FitFractions:
    """Fractions of the voxels of a mask, 0 to 1.

    invalid : without usable signal; at_bound : with it, and R2* is 0 or at its maximum
    """

    invalid: float
    at_bound: float


def fractions_in(rate: NDArray[Any], s0: NDArray[Any], inside: Bools) -> FitFractions:
    """Return the fractions within a mask of at least one voxel.

    rate, s0 : R2* in 1/s and S0, as ``fit_r2star`` gives them (0 in voxels that are not usable);
    inside : mask; all of one shape
    """
    valid = s0[inside] > 0
    at_bound = valid & ((rate[inside] <= 0) | (rate[inside] >= R2STAR_MAX_PER_S))
    return FitFractions(float(1 - valid.mean()), float(at_bound.mean()))


def missing_echo_fraction(signal: NDArray[Any], inside: Bools) -> float:
    """Return the fraction of a mask's voxels that have signal, but exactly 0 at some echo.

    signal : (n_echoes, n_voxels) magnitudes; inside : (n_voxels,), at least one voxel
    Noise makes no zeros in a magnitude: they are what a scanner or a converter put for values that
    it left out (thresholds, masks), and a fit takes them for measurements: R2* becomes too high.
    """
    missing, anything = (np.zeros(int(inside.sum()), dtype=bool) for _ in range(2))
    for echo in signal:
        values = echo[inside]
        missing |= values == 0
        anything |= values != 0
    return float((missing & anything).mean())
