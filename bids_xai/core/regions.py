"""Relevance per region of an atlas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_xai.errors import BadDataError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class RegionSums:
    """Relevance of regions, every field (n_regions,) in the order of ``values``.

    values : label values of the regions
    sum, abs_sum : sum of relevance, and of its absolute value, over the region
    n_voxels : size of the region in voxels
    density : sum / n_voxels, NaN for a region without voxels
    share : sum / sum over the whole map (also outside the regions), NaN where that is zero;
        of a signed map, whose total can be near zero, it says little
    """

    values: Ints
    sum: Floats
    abs_sum: Floats
    n_voxels: Ints
    density: Floats
    share: Floats


def region_relevance(
    relevance: npt.NDArray[np.floating[Any]],
    labels: npt.NDArray[Any],
    values: Sequence[int],
) -> RegionSums:
    """Sum relevance over the regions of an atlas.

    relevance : (x, y, z), signed or not, finite
    labels : (x, y, z), the region of each voxel, whole numbers >= 0 of any size
    values : labels to report, each once; 0 (background) only if it is among them
    Source: rieke2018 (share), tinauer2025 (sum and density).
    Raises ``BadDataError`` for maps of different shapes, undefined relevance or broken labels.
    """
    if relevance.shape != labels.shape:
        raise BadDataError(
            f"Relevance {relevance.shape} and atlas {labels.shape} differ in shape",
            fix="resample one onto the grid of the other",
        )
    if not np.isfinite(relevance).all():
        raise BadDataError("The relevance map has undefined voxels", fix="compute it again")
    wanted: Ints = np.asarray(values, dtype=np.int64)
    if np.unique(wanted).size != wanted.size or (wanted < 0).any():
        raise ValueError("region values must be >= 0, each given once")
    index = _region_index(_whole(labels), wanted)
    flat = relevance.ravel().astype(np.float64)
    n = wanted.size
    sums: Floats = np.bincount(index, weights=flat, minlength=n + 1)[:n].astype(np.float64)
    magnitudes = np.bincount(index, weights=np.abs(flat), minlength=n + 1)[:n]
    counts = np.bincount(index, minlength=n + 1)[:n].astype(np.int64)
    return RegionSums(
        values=wanted,
        sum=sums,
        abs_sum=magnitudes.astype(np.float64),
        n_voxels=counts,
        density=_divide(sums, counts.astype(np.float64)),
        share=_divide(sums, np.full(n, flat.sum())),
    )


def _whole(labels: npt.NDArray[Any]) -> Ints:
    """Labels (n_voxels,) as whole numbers; never through a type that could wrap around."""
    flat = labels.ravel()
    whole: Ints = flat.astype(np.int64) if np.isfinite(flat).all() else np.array([-1])
    if (whole < 0).any() or not (whole == flat).all():
        raise BadDataError(
            "The atlas has labels that are not whole numbers >= 0",
            fix="resample atlases with nearest-neighbour interpolation",
        )
    return whole


def _region_index(labels: Ints, wanted: Ints) -> Ints:
    """Position of each voxel's label in ``wanted``, len(wanted) for the others."""
    beyond = int(wanted.max(initial=0)) + 1
    lookup: Ints = np.full(beyond + 1, wanted.size, dtype=np.int64)
    lookup[wanted] = np.arange(wanted.size)
    index: Ints = lookup[np.minimum(labels, beyond)]
    return index


def _divide(numerator: Floats, denominator: Floats) -> Floats:
    """Quotient, NaN where the denominator is zero."""
    quotient: Floats = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator != 0)
    return quotient
