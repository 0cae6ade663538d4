"""How much of a fitted map within a mask is no measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
