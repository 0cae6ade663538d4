"""Does a heatmap lie where the truth is? Three measures against a known region.

Sources: Arras et al. 2022 (relevance mass and rank accuracy); Zhang et al. 2018 (pointing game).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from bids_xai.arrays import Bools, Floats
from bids_xai.errors import BadDataError, UsageError


@dataclass(frozen=True, kw_only=True)
class Localization:
    """How well a map finds a region; NaN where the map has no positive relevance.

    mass_accuracy : share of the positive relevance that lies in the region
    rank_accuracy : of the K highest voxels, K being the size of the region, the share in it
    pointing_game : 1 where the highest voxel lies in the region, else 0; of several highest voxels
        the share in it
    n_voxels : K
    chance : share of the voxels that the region makes up: mass and rank accuracy of a flat map
    """

    mass_accuracy: float
    rank_accuracy: float
    pointing_game: float
    n_voxels: int
    chance: float


def localize(
    relevance: Floats,
    region: Bools,
    *,
    tolerance_mm: float = 0.0,
    voxel_mm: tuple[float, ...] = (1.0, 1.0, 1.0),
) -> Localization:
    """Compare a map (x, y, z) with a region (x, y, z) of at least one voxel.

    tolerance_mm : how far outside the region the highest voxel of the pointing game may lie
    Raises ``BadDataError`` for different shapes, an empty region and undefined relevance.
    """
    if relevance.shape != region.shape:
        raise BadDataError(
            f"The map {relevance.shape} and the true region {region.shape} differ in shape",
            fix="resample one onto the grid of the other",
        )
    if not region.any():
        raise BadDataError("The true region is empty", fix="exclude this scan")
    if not np.isfinite(relevance).all():
        raise BadDataError("The relevance map has undefined voxels", fix="compute it again")
    if tolerance_mm < 0:
        raise UsageError(f"tolerance_mm {tolerance_mm} is invalid", fix="give 0 or more")
    size = int(region.sum())
    measures = (float("nan"),) * 3
    if (relevance > 0).any():
        near = _within(region, tolerance_mm, voxel_mm)
        measures = (
            mass_accuracy(relevance, region),
            rank_accuracy(relevance, region),
            pointing_game(relevance, near),
        )
    return Localization(
        mass_accuracy=measures[0],
        rank_accuracy=measures[1],
        pointing_game=measures[2],
        n_voxels=size,
        chance=size / region.size,
    )


def mass_accuracy(relevance: Floats, region: Bools) -> float:
    """Share of the positive relevance that lies in the region; some voxel is positive."""
    positive = np.maximum(relevance, 0)
    inside = positive[region].sum(dtype=np.float64)
    return float(inside / positive.sum(dtype=np.float64))


def rank_accuracy(relevance: Floats, region: Bools) -> float:
    """Share of the K highest voxels that lie in the region of K voxels.

    Of equal voxels, some of which are among the K highest, every one counts in part, so that the
    result does not depend on their order.
    """
    size = int(region.sum())
    flat, inside = relevance.ravel(), region.ravel()
    border = np.partition(flat, flat.size - size)[flat.size - size]  # the K-th highest value
    above, equal = flat > border, flat == border
    part = (size - int(above.sum())) / int(equal.sum())
    hits = int(np.count_nonzero(above & inside)) + part * int(np.count_nonzero(equal & inside))
    return float(hits / size)


def pointing_game(relevance: Floats, region: Bools) -> float:
    """Share of the highest voxels (usually one) that lie in the region."""
    highest = relevance == relevance.max()
    return float(np.count_nonzero(highest & region) / np.count_nonzero(highest))


def _within(region: Bools, tolerance_mm: float, voxel_mm: tuple[float, ...]) -> Bools:
    """The region and all voxels whose centre is at most ``tolerance_mm`` from one of its voxels."""
    if not tolerance_mm:
        return region
    away = ndimage.distance_transform_edt(~region, sampling=voxel_mm)
    return np.asarray(away <= tolerance_mm)
