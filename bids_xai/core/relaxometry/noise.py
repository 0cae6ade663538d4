"""The noise of magnitude images from their darkest voxels."""

from __future__ import annotations

import numpy as np

from bids_xai.arrays import Bools, Floats, Floats64
from bids_xai.errors import BadDataError

_FEWEST_SAMPLES = 100
_MOST_SAMPLES = 1_000_000  # evenly picked: sigma to 0.1 %
_CUT_SIGMAS = 2.5  # 96 % of the noise in air is below
_CLUSTER_STEPS = 100


def noise_sigma(magnitude: Floats, background: Bools | None = None) -> float:
    """Standard deviation of the noise (one channel) from air, in units of the magnitude.

    magnitude : any shape (..., n_voxels), single-coil or adaptively combined: Rayleigh in air
    background : (n_voxels,) voxels known to be air; None: found by themselves

    In air the magnitude is Rayleigh distributed, so sigma = median / 1.1774. Without
    ``background`` the median is taken of samples below 2.5 sigma, corrected for the cut, and
    repeated from a small sigma upwards until it no longer changes: the darkest cluster of samples
    is taken for air. Zeros (masked air) and non-finite samples are left out.

    Raises :class:`BadDataError` with fewer than 100 usable samples, or where the dark samples
    found do not spread as noise in air does.
    """
    samples = np.asarray(magnitude, dtype=np.float64)
    if background is not None:
        samples = samples[..., background]
    samples = samples[np.isfinite(samples) & (samples > 0)]
    samples = samples[:: samples.size // _MOST_SAMPLES + 1]
    if samples.size < _FEWEST_SAMPLES:
        raise BadDataError(
            f"{samples.size} air samples are too few to measure noise",
            fix="give a background mask, or the noise sigma itself",
        )
    return _rayleigh(samples, np.inf) if background is not None else _darkest_cluster(samples)


def _rayleigh(samples: Floats64, cut_sigmas: float) -> float:
    """sigma from the median of Rayleigh samples of which only those below the cut are given."""
    share = -np.expm1(-0.5 * cut_sigmas**2)
    return float(np.median(samples) / np.sqrt(-2.0 * np.log1p(-0.5 * share)))


def _darkest_cluster(samples: Floats64) -> float:
    samples = np.sort(samples)
    sigma = float(samples[samples.size // 1000 + 1])
    for _ in range(_CLUSTER_STEPS):
        dark = samples[: np.searchsorted(samples, _CUT_SIGMAS * sigma)]
        before, sigma = sigma, _rayleigh(dark, _CUT_SIGMAS)
        if abs(sigma - before) <= 1e-6 * sigma:
            break
    _check_rayleigh(dark, sigma)
    return sigma


def _check_rayleigh(dark: Floats64, sigma: float) -> None:
    """Refuse samples whose quarters lie more than 15 % from where Rayleigh noise has them."""
    share = -np.expm1(-0.5 * _CUT_SIGMAS**2)
    expected = sigma * np.sqrt(-2.0 * np.log1p(-share * np.array([0.25, 0.75])))
    quarters = np.quantile(dark, [0.25, 0.75]) if dark.size else np.zeros(2)
    if dark.size < _FEWEST_SAMPLES or np.any(np.abs(quarters / expected - 1.0) > 0.15):
        raise BadDataError(
            "the darkest samples do not look like noise in air",
            fix="give a background mask, or the noise sigma itself",
        )
