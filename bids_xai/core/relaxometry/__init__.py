"""R2* from multi-echo magnitudes: estimators, fit, noise."""

from bids_xai.core.relaxometry.echoes import R2STAR_MAX_PER_S
from bids_xai.core.relaxometry.fit import (
    NOISE_FLOOR_METHODS,
    R2STAR_METHODS,
    R2StarFit,
    check_echo_times,
    fit_r2star,
)
from bids_xai.core.relaxometry.noise import noise_sigma

__all__ = [
    "NOISE_FLOOR_METHODS",
    "R2STAR_MAX_PER_S",
    "R2STAR_METHODS",
    "R2StarFit",
    "check_echo_times",
    "fit_r2star",
    "noise_sigma",
]
