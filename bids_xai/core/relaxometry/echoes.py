"""Echo times, decays and amplitudes, written once for numpy and torch.

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

_EQUAL_SPACING = 1e-9  # relative; below it one exponential serves all echoes


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


def amplitude(signal: Array, weight: Array | None, rate: Array, echoes: Echoes) -> Array:
    """Least-squares signal at the first echo, (n_voxels,)."""
    basis = decay(rate, signal, echoes)
    square = basis * basis if weight is None else basis * basis * weight
    return (signal * basis).sum(0) / square.sum(0)


def columns(array: Array | None, mask: Array) -> Array | None:
    """The voxels of (n_echoes, n_voxels) for which ``mask`` holds, row by row in memory."""
    if isinstance(array, np.ndarray):
        return array.compress(mask, axis=1)  # array[:, mask] would be column by column
    return None if array is None else array[:, mask]


def within(voxels: Array, mask: Array) -> Array:
    """The voxels (n_voxels,) for which ``mask``, one value per voxel that is true, holds."""
    narrowed = voxels & ~voxels  # all false, in the library of the arrays
    narrowed[voxels] = mask
    return narrowed
