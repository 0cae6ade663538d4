r"""How alike are two heatmaps? Structural similarity, rank correlation, overlap of top sets.

Structural similarity of the windows around two voxels, with means :math:`\mu`, variances
:math:`\sigma^2` and covariance :math:`\sigma_{ab}`, and :math:`c_i = (k_i D)^2` for a range
:math:`D` of the data:

.. math:: S = \frac{(2 \mu_a \mu_b + c_1)(2 \sigma_{ab} + c_2)}
                   {(\mu_a^2 + \mu_b^2 + c_1)(\sigma_a^2 + \sigma_b^2 + c_2)}

Source: Wang et al. 2004 (k1 = 0.01, k2 = 0.03), over three axes; Adebayo et al. 2018 for the use on
heatmaps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_xai.arrays import Bools, Floats, Floats64
from bids_xai.errors import BadDataError, UsageError

Filter = Callable[[Floats64], Floats64]

WINDOWS = ("uniform", "gaussian")
_UNIFORM = 7  # voxels an axis
_SIGMA, _RADIUS = 1.5, 5  # voxels
_K1, _K2 = 0.01, 0.03


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """How alike two maps are.

    ssim : mean structural similarity, maps scaled by :func:`scaled`
    spearman, spearman_abs : rank correlation of the values, and of their absolute values
    All NaN where a map has no relevance or undefined voxels, a correlation also where a map has
    one value only.
    """

    ssim: float
    spearman: float
    spearman_abs: float


def compare(a: Floats, b: Floats, within: Bools | None = None) -> Similarity:
    """Compare two maps (x, y, z) on one grid, whatever their scales.

    within : (x, y, z) voxels that count (the windows of the structural similarity are centred in
        them); all where not given. Without it, empty background makes any two maps alike
    Raises ``BadDataError`` for different shapes and for maps smaller than a window.
    """
    _check_shapes(a, b)
    if not all(np.any(relevance) and np.isfinite(relevance).all() for relevance in (a, b)):
        return Similarity(ssim=np.nan, spearman=np.nan, spearman_abs=np.nan)
    signed = bool((a < 0).any() or (b < 0).any())
    ssim = ssim3d(scaled(a), scaled(b), data_range=2.0 if signed else 1.0, within=within)
    x, y = (a.ravel(), b.ravel()) if within is None else (a[within], b[within])
    return Similarity(
        ssim=ssim, spearman=spearman(x, y), spearman_abs=spearman(np.abs(x), np.abs(y))
    )


def scaled(relevance: Floats, percentile: float = 99.0) -> Floats64:
    """A map within -1 … 1: divided by a percentile of its non-zero absolute values, then clipped.

    A division by the one highest voxel would make a map with a peak flat, and flat maps alike.
    """
    size = np.abs(relevance[relevance != 0])
    if not size.size:
        return np.zeros(relevance.shape)
    return np.clip(relevance / float(np.percentile(size, percentile)), -1.0, 1.0).astype(np.float64)


def ssim3d(
    a: Floats, b: Floats, *, data_range: float, window: str = "uniform", within: Bools | None = None
) -> float:
    """Mean structural similarity of two maps (x, y, z), 1 for equal ones.

    data_range : highest minus lowest value that the maps can have
    window : ``uniform`` (7 voxels an axis) or ``gaussian`` (sd 1.5, cut to 11 voxels an axis);
        variances are those of samples, as in scikit-image
    within : (x, y, z) voxels whose windows count; all where not given. A voxel nearer to the border
        than half a window never counts. NaN where none is left
    Raises ``BadDataError`` for different shapes and an axis shorter than a window.
    """
    _check_shapes(a, b)
    smooth, radius = _filter(window)
    if min(a.shape) <= 2 * radius:
        raise BadDataError(
            f"Maps of shape {a.shape} are smaller than a window of {2 * radius + 1} voxels per "
            "axis",
            fix="compare maps with more voxels",
        )
    if not data_range > 0:
        raise UsageError(f"data_range {data_range} is invalid", fix="give a number above 0")
    inner = tuple(slice(radius, n - radius) for n in a.shape)
    values = _similarity(a.astype(np.float64), b.astype(np.float64), smooth, radius, data_range)
    counted = values[inner] if within is None else values[inner][within[inner]]
    return float(counted.mean()) if counted.size else float("nan")


def _similarity(
    a: Floats64, b: Floats64, smooth: Filter, radius: int, data_range: float
) -> Floats64:
    """Structural similarity (x, y, z) of the windows around all voxels."""
    n = (2 * radius + 1) ** 3
    sample = n / (n - 1)
    mean_a, mean_b = smooth(a), smooth(b)
    var_a = sample * (smooth(a * a) - mean_a**2)
    var_b = sample * (smooth(b * b) - mean_b**2)
    both = sample * (smooth(a * b) - mean_a * mean_b)
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    above = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return np.asarray(above / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)))


def _filter(window: str) -> tuple[Filter, int]:
    """The mean over a window, and how many voxels it reaches on either side."""
    if window == "uniform":
        return partial(ndimage.uniform_filter, size=_UNIFORM), _UNIFORM // 2
    if window == "gaussian":
        return partial(ndimage.gaussian_filter, sigma=_SIGMA, radius=_RADIUS), _RADIUS
    raise UsageError(f"Unknown window '{window}'", fix=f"use {' or '.join(WINDOWS)}")


def spearman(a: Floats, b: Floats) -> float:
    """Rank correlation of two maps of any one shape; equal values share their mean rank.

    NaN where either has one value only, or fewer than two voxels.
    """
    from scipy.stats import rankdata

    _check_shapes(a, b)
    x, y = (rankdata(values, axis=None) for values in (a, b))
    x, y = x - (x.size + 1) / 2, y - (y.size + 1) / 2
    size = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / size) if size > 0 else float("nan")


def _check_shapes(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> None:
    if a.shape != b.shape:
        raise BadDataError(
            f"Maps of shapes {a.shape} and {b.shape} cannot be compared",
            fix="resample one onto the grid of the other",
        )
