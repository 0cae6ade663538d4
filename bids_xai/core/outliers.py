"""Which values of a sample lie far from the others, by median and median absolute deviation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.arrays import Bools, Floats64

LEAST_VALUES = 8  # with fewer, the median absolute deviation says little
LARGEST_Z = 3.5

_MAD_OF_NORMAL = 0.6745  # median absolute deviation of a normal distribution with sd 1
_MEAN_OF_NORMAL = 0.7979  # its mean absolute deviation, sqrt(2 / pi)
_ROUNDING = 1e-3  # of the median: what is less, is no deviation among values that are all alike
_FLOAT_NOISE = 1e-12


@dataclass(frozen=True)
class Spread:
    """Median and median absolute deviation of the ``n`` finite values; NaN where there is none."""

    n: int
    median: float
    mad: float


def spread(values: NDArray[Any]) -> Spread:
    """Return count, median and median absolute deviation of the finite values.

    values : (n,) any unit, not finite = missing
    """
    finite = _finite(values)
    if not finite.size:
        return Spread(0, np.nan, np.nan)
    median = float(np.median(finite))
    return Spread(finite.size, median, float(np.median(np.abs(finite - median))))


def robust_z(values: NDArray[Any]) -> Floats64:
    r"""Return how far each value lies from the median, in robust standard deviations.

    values : (n,) any unit; a value that is not finite is missing and stays NaN

    .. math:: z = 0.6745 \, (x - \mathrm{median}) / \mathrm{MAD}

    Where more than half the values are equal, MAD is 0. The mean absolute deviation takes its
    place, :math:`z = 0.7979 \, (x - \mathrm{median}) / \mathrm{mean}|x - \mathrm{median}|`, its
    standard deviation being no less than 0.001 of the median, lest rounding counts as deviation.
    Where all values are equal, z is 0.

    Source: Iglewicz and Hoaglin 1993, How to detect and handle outliers (the second formula, for
    MAD 0, as in IBM SPSS; the lower bound is our own).
    """
    data = np.asarray(values, dtype=np.float64)
    middle = spread(data)
    finite = np.isfinite(data)
    z = np.full(data.shape, np.nan)
    if middle.n:
        deviation = data[finite] - middle.median
        scale = _scale(deviation, middle)
        z[finite] = deviation / scale if scale > 0 else 0.0
    return z


def outliers(values: NDArray[Any]) -> Bools | None:
    """Tell which values have abs(z) > 3.5; a missing value is none.

    values : (n,) as for :func:`robust_z`
    Returns (n,), or ``None`` where fewer than eight values are finite: too few to tell.
    """
    if _finite(values).size < LEAST_VALUES:
        return None
    with np.errstate(invalid="ignore"):
        result: Bools = np.abs(robust_z(values)) > LARGEST_Z
    return result


def _scale(deviation: Floats64, middle: Spread) -> float:
    """The robust standard deviation of finite deviations from the median; 0 where all are 0."""
    size = abs(middle.median)
    if middle.mad > _FLOAT_NOISE * size:
        return middle.mad / _MAD_OF_NORMAL
    mean = float(np.mean(np.abs(deviation)))
    return max(mean / _MEAN_OF_NORMAL, _ROUNDING * size) if mean > _FLOAT_NOISE * size else 0.0


def _finite(values: NDArray[Any]) -> Floats64:
    data = np.asarray(values, dtype=np.float64)
    result: Floats64 = data[np.isfinite(data)]
    return result
