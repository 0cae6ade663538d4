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
from functools import cached_property, partial
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
    Raises ``BadDataError`` for different shapes and for maps smaller than a window. To compare one
    map with many, make a :class:`Reference` of it.
    """
    return Reference(a, within).compare(b)


class Reference:
    """A map (x, y, z) that others are compared with, as by :func:`compare`.

    What a comparison needs of it alone is computed once.
    """

    def __init__(self, relevance: Floats, within: Bools | None = None) -> None:
        self._map, self._within = relevance, within
        self._box = _box_around(within, relevance.shape)

    def compare(self, other: Floats) -> Similarity:
        """Compare another map on the same grid. Raises as :func:`compare` does."""
        _check_shapes(self._map, other)
        if not (_is_defined(self._map) and _is_defined(other)):
            return Similarity(ssim=np.nan, spearman=np.nan, spearman_abs=np.nan)
        signed = self._signed or bool((other < 0).any())
        counted = other.ravel() if self._within is None else other[self._within]
        correlation = _correlation(self._ranks, _centred_ranks(counted))
        return Similarity(
            ssim=self._ssim(other, 2.0 if signed else 1.0),
            spearman=correlation,
            # of values that are not negative, the absolute ones have the same ranks
            spearman_abs=_correlation(self._absolute_ranks, _centred_ranks(np.abs(counted)))
            if signed
            else correlation,
        )

    def _ssim(self, other: Floats, data_range: float) -> float:
        within = None if self._within is None else self._within[self._box]
        moments = _Moments(scaled(other)[self._box], *_filter("uniform"))
        return _mean_similarity(self._moments, moments, data_range, within)

    @cached_property
    def _signed(self) -> bool:
        return bool((self._map < 0).any())

    @cached_property
    def _moments(self) -> _Moments:
        return _Moments(scaled(self._map)[self._box], *_filter("uniform"))

    @cached_property
    def _ranks(self) -> Floats64:
        return _centred_ranks(self._map if self._within is None else self._map[self._within])

    @cached_property
    def _absolute_ranks(self) -> Floats64:
        size = np.abs(self._map)
        return _centred_ranks(size if self._within is None else size[self._within])


def _box_around(within: Bools | None, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The voxels that the windows which count reach; all where none counts."""
    inner = tuple(slice(_UNIFORM // 2, n - _UNIFORM // 2) for n in shape)
    boxes = [] if within is None else ndimage.find_objects(within[inner].astype(np.uint8))
    if not boxes:
        return tuple(slice(0, n) for n in shape)
    return tuple(slice(axis.start, axis.stop + 2 * (_UNIFORM // 2)) for axis in boxes[0])


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
    window : ``uniform`` (7 voxels per axis) or ``gaussian`` (sd 1.5, 11 voxels per axis);
        variances are those of samples, as in scikit-image
    within : (x, y, z) voxels whose windows count; all where not given. A voxel nearer to the border
        than half a window never counts. NaN where none is left
    Raises ``BadDataError`` for different shapes and an axis shorter than a window.
    """
    _check_shapes(a, b)
    smooth, radius = _filter(window)
    if not data_range > 0:
        raise UsageError(f"data_range {data_range} is invalid", fix="give a number above 0")
    moments = _Moments(a, smooth, radius), _Moments(b, smooth, radius)
    return _mean_similarity(*moments, data_range=data_range, within=within)


class _Moments:
    """Means and variances of a map (x, y, z) in the window around every voxel."""

    def __init__(self, values: Floats, smooth: Filter, radius: int) -> None:
        if min(values.shape) <= 2 * radius:
            raise BadDataError(
                f"Maps of shape {values.shape} are smaller than a window of {2 * radius + 1} voxels"
                " per axis",
                fix="compare maps with more voxels",
            )
        self.values, self.smooth, self.radius = values.astype(np.float64), smooth, radius
        self.sample = (n := (2 * radius + 1) ** 3) / (n - 1)
        self.mean = smooth(self.values)
        self.variance = self.sample * (smooth(self.values * self.values) - self.mean**2)


def _mean_similarity(a: _Moments, b: _Moments, data_range: float, within: Bools | None) -> float:
    """Mean structural similarity over the windows that count, NaN where none does."""
    covariance = a.sample * (a.smooth(a.values * b.values) - a.mean * b.mean)
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    above = (2 * a.mean * b.mean + c1) * (2 * covariance + c2)
    values = above / ((a.mean**2 + b.mean**2 + c1) * (a.variance + b.variance + c2))
    inner = tuple(slice(a.radius, n - a.radius) for n in values.shape)
    counted = values[inner] if within is None else values[inner][within[inner]]
    return float(counted.mean()) if counted.size else float("nan")


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

    _check_shapes(a, b)
    return _correlation(_centred_ranks(a), _centred_ranks(b))


def _centred_ranks(values: Floats) -> Floats64:
    """Ranks (n,) less their mean."""
    from scipy.stats import rankdata  # slow to load

    ranks: Floats64 = rankdata(values, axis=None)
    return ranks - (ranks.size + 1) / 2


def _correlation(x: Floats64, y: Floats64) -> float:
    size = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / size) if size > 0 else float("nan")


def _is_defined(relevance: Floats) -> bool:
    return bool(np.any(relevance) and np.isfinite(relevance).all())


def _check_shapes(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> None:
    if a.shape != b.shape:
        raise BadDataError(
            f"Maps of shapes {a.shape} and {b.shape} cannot be compared",
            fix="resample one onto the grid of the other",
        )
