"""How alike many heatmaps on one grid are: top-p sets, structure, order, distance.

A map is profiled once and compared with any number of others; structural similarity and rank
correlation are those of :mod:`bids_xai.core.similarity`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_xai.arrays import Bools, Floats
from bids_xai.core.similarity import scaled

TOP_SHARES = (0.1, 0.4, 0.5)
WINDOW = 7  # voxels, edge of the cube of SSIM
_K1, _K2 = 0.01, 0.03  # as in core.similarity
_ROUNDING = 1e-12


@dataclass(frozen=True)
class MapProfile:
    """What a comparison needs of one map.

    by_maximum : (n,) float32, the map over its largest absolute value
    size : sum of the absolute values of ``by_maximum``
    tops : for each of ``TOP_SHARES`` the smallest set of voxels that holds this share of the
        positive relevance, as packed bits; ``None`` for a map without positive relevance
    ranks : (n_mask,) centred midranks at unit length; all zero for a map of one value
    box : the map as :func:`scaled`, on the box around the mask
    mean, variance : of it within the cube around each voxel of the mask that counts
    """

    by_maximum: Floats
    size: float
    tops: tuple[npt.NDArray[np.uint8], ...] | None
    ranks: Floats
    box: Floats
    mean: Floats
    variance: Floats
    signed: bool


@dataclass(frozen=True)
class MapSimilarity:
    """Profiles and compares maps on the grid of a mask; SSIM and ranks count its voxels alone.

    Outside a brain mask most maps are zero: there two maps are equal whatever they show inside.
    """

    mask: Bools

    def profile(self, relevance: Floats) -> MapProfile:
        """Profile a map (x, y, z), finite, of the shape of the mask."""
        flat = np.asarray(relevance, dtype=np.float64).ravel()
        largest = float(np.abs(flat).max(initial=0.0))
        box = scaled(flat.reshape(self.mask.shape))[self._box]
        mean = _window_mean(box)
        n = WINDOW**3
        variance = np.maximum(_window_mean(box**2) - mean**2, 0.0) * n / (n - 1)
        return MapProfile(
            by_maximum=(flat / (largest or 1.0)).astype(np.float32),
            size=float(np.abs(flat).sum() / (largest or 1.0)),
            tops=_packed_tops(flat),
            ranks=_unit_ranks(flat[self.mask.ravel()]),
            box=box.astype(np.float32),
            mean=mean[self._inside],
            variance=variance[self._inside],
            signed=bool(flat.min(initial=0.0) < 0),
        )

    def compare(self, a: MapProfile, b: MapProfile) -> dict[str, float]:
        """Return every measure by name; NaN where one is not defined."""
        names = [f"iou_{share:g}" for share in TOP_SHARES]
        return {
            **dict(zip(names, _ious(a, b), strict=True)),
            "ssim": self.ssim(a, b),
            "spearman": float(a.ranks @ b.ranks) if a.ranks.any() and b.ranks.any() else np.nan,
            "euclidean": _distance(a, b, 1 / (a.size or 1.0), 1 / (b.size or 1.0)),
            "l2": _distance(a, b, 1.0, 1.0),
        }

    def ssim(self, a: MapProfile, b: MapProfile) -> float:
        """Mean structural similarity over the mask, as :func:`bids_xai.core.similarity.compare`.

        Voxels nearer to the border of the grid than half a cube do not count.
        """
        if not a.mean.size:
            return float("nan")
        span = 2.0 if a.signed or b.signed else 1.0
        c1, c2 = (_K1 * span) ** 2, (_K2 * span) ** 2
        product = _window_mean(a.box.astype(np.float64) * b.box)[self._inside]
        n = WINDOW**3
        covariance = (product - a.mean * b.mean) * n / (n - 1)
        above = (2 * a.mean * b.mean + c1) * (2 * covariance + c2)
        below = (a.mean**2 + b.mean**2 + c1) * (a.variance + b.variance + c2)
        return float((above / below).mean())

    @cached_property
    def _inside(self) -> Bools:
        """The voxels of the box that count."""
        reach = WINDOW // 2
        inner = np.zeros(self.mask.shape, dtype=bool)
        inner[tuple(slice(reach, n - reach) for n in self.mask.shape)] = True
        inside: Bools = (self.mask & inner)[self._box]
        return inside

    @cached_property
    def _box(self) -> tuple[slice, ...]:
        """The voxels around the mask that its cubes reach."""
        boxes = ndimage.find_objects(self.mask.astype(np.uint8))
        if not boxes:
            return tuple(slice(0, n) for n in self.mask.shape)
        reach = WINDOW // 2
        return tuple(
            slice(max(0, s.start - reach), min(n, s.stop + reach))
            for s, n in zip(boxes[0], self.mask.shape, strict=True)
        )


def top_sets(relevance: Floats, shares: Sequence[float]) -> list[Bools]:
    """The smallest sets of voxels with these shares of the positive relevance, (n,) each.

    relevance : (n,); shares : 0 < share <= 1. Of equal voxels the first count. Empty where nothing
    is positive.
    """
    falling = np.sort(relevance[relevance > 0])[::-1]
    if not falling.size:
        return [np.zeros(relevance.shape, dtype=bool) for _ in shares]
    reached = np.cumsum(falling, dtype=np.float64)
    targets = np.asarray(shares) * reached[-1] * (1 - _ROUNDING)
    sets = []
    for last in np.searchsorted(reached, targets):
        top: Bools = relevance > falling[last]
        equal = np.flatnonzero(relevance == falling[last])
        top[equal[: int(last) + 1 - int(np.count_nonzero(top))]] = True
        sets.append(top)
    return sets


def _packed_tops(flat: Floats) -> tuple[npt.NDArray[np.uint8], ...] | None:
    if not (flat > 0).any():
        return None
    return tuple(np.packbits(inside) for inside in top_sets(flat, TOP_SHARES))


def _ious(a: MapProfile, b: MapProfile) -> list[float]:
    """Intersection over union of the top sets."""
    if a.tops is None or b.tops is None:
        return [float("nan")] * len(TOP_SHARES)
    return [
        int(np.bitwise_count(top_a & top_b).sum()) / int(np.bitwise_count(top_a | top_b).sum())
        for top_a, top_b in zip(a.tops, b.tops, strict=True)
    ]


def _unit_ranks(values: Floats) -> Floats:
    """Midranks (n,) minus their mean, at unit length: their product is Spearman's rho."""
    from scipy.stats import rankdata

    if not values.size or values.min() == values.max():
        return np.zeros(values.size)
    ranks = rankdata(values)
    ranks -= ranks.mean()
    unit: Floats = ranks / np.linalg.norm(ranks)
    return unit


def _window_mean(data: Floats) -> Floats:
    mean: Floats = ndimage.uniform_filter(np.asarray(data, dtype=np.float64), WINDOW)
    return mean


def _distance(a: MapProfile, b: MapProfile, scale_a: float, scale_b: float) -> float:
    difference = scale_a * a.by_maximum.astype(np.float64) - scale_b * b.by_maximum
    return float(np.sqrt(difference @ difference))
