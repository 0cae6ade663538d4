"""Relevance per region of an atlas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_xai.arrays import Floats, Floats64, Ints
from bids_xai.errors import BadDataError

DENSITY_QUANTILES = (0.025, 0.25, 0.5, 0.75, 0.975)
"""Quantiles of the density of a region over scans."""
_LARGEST = 2**62


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
    sum: Floats64
    abs_sum: Floats64
    n_voxels: Ints
    density: Floats64
    share: Floats64


class RegionIndex:
    """The regions of any number of atlases on one grid, made ready for one pass over each map.

    Voxels that lie in the same region of every atlas form a part; a map is summed over the parts
    once, and the sums of a region are those of its parts.
    """

    def __init__(self, atlases: Sequence[tuple[npt.NDArray[Any], Sequence[int]]]) -> None:
        """Index atlases: for each, labels (x, y, z) and the values to report.

        labels : whole numbers >= 0 of any size, all atlases of one shape
        values : each once; 0 (background) only if it is among them; those without voxels count 0
        Raises ``BadDataError`` for atlases of different shapes or broken labels.
        """
        shapes = [labels.shape for labels, _ in atlases]
        if not atlases or any(shape != shapes[0] for shape in shapes):
            raise BadDataError(
                f"Atlases differ in shape: {shapes}", fix="resample them onto one grid"
            )
        self.shape = shapes[0]
        self.values = [_checked(values) for _, values in atlases]
        voxels, indices = _labelled(atlases, self.values)
        parts = _parts(indices, [values.size + 1 for values in self.values])
        order = np.argsort(parts, kind="stable")
        self._order = voxels[order]
        self._starts = np.flatnonzero(np.diff(parts[order], prepend=-1))
        first = order[self._starts]
        self._region_of_part = [index[first] for index in indices]
        sizes = np.diff(self._starts, append=self._order.size)
        self.n_voxels: list[Ints] = [
            values.astype(np.int64) for values in self._gathered(sizes.astype(np.float64))
        ]

    def sums(self, relevance: Floats) -> list[RegionSums]:
        """Sum a map (x, y, z), signed or not, over the regions of every atlas.

        Raises ``BadDataError`` for another shape or undefined relevance.
        """
        if relevance.shape != self.shape:
            raise BadDataError(
                f"Relevance {relevance.shape} and atlas {self.shape} differ in shape",
                fix="resample one onto the grid of the other",
            )
        total = float(relevance.sum(dtype=np.float64))
        if not np.isfinite(total):
            raise BadDataError("The relevance map has undefined voxels", fix="compute it again")
        inside = relevance.ravel()[self._order]
        sums = self._gathered(self._part_sums(inside))
        magnitudes = self._gathered(self._part_sums(np.abs(inside)))
        return [
            RegionSums(
                values=values,
                sum=signed,
                abs_sum=magnitude,
                n_voxels=n_voxels,
                density=divide(signed, n_voxels.astype(np.float64)),
                share=divide(signed, np.full(signed.size, total)),
            )
            for values, n_voxels, signed, magnitude in zip(
                self.values, self.n_voxels, sums, magnitudes, strict=True
            )
        ]

    def _part_sums(self, inside: Floats) -> Floats64:
        if not self._starts.size:
            return np.zeros(0)
        sums: Floats64 = np.add.reduceat(inside, self._starts, dtype=np.float64)
        return sums

    def _gathered(self, parts: Floats64) -> list[Floats64]:
        """Sums of parts → sums of the regions of each atlas."""
        gathered: list[Floats64] = []
        for regions, values in zip(self._region_of_part, self.values, strict=True):
            sums = np.bincount(regions, weights=parts, minlength=values.size + 1)
            gathered.append(sums[: values.size].astype(np.float64))
        return gathered


def region_relevance(
    relevance: Floats, labels: npt.NDArray[Any], values: Sequence[int]
) -> RegionSums:
    """Sum relevance over the regions of one atlas; of many maps :class:`RegionIndex` is faster.

    relevance : (x, y, z), signed or not, finite
    labels : (x, y, z), the region of each voxel, whole numbers >= 0 of any size
    values : labels to report, each once; 0 (background) only if it is among them
    Source: rieke2018 (share), tinauer2025 (sum and density).
    Raises ``BadDataError`` for maps of different shapes, undefined relevance or broken labels.
    """
    return RegionIndex([(labels, values)]).sums(relevance)[0]


def divide(numerator: Floats64, denominator: Floats64) -> Floats64:
    """Quotient, NaN where the denominator is zero."""
    quotient: Floats64 = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator != 0)
    return quotient


def _checked(values: Sequence[int]) -> Ints:
    indices: Ints = np.asarray(values, dtype=np.int64)
    if np.unique(indices).size != indices.size or (indices < 0).any():
        raise ValueError("region values must be >= 0, each given once")
    return indices


def _labelled(
    atlases: Sequence[tuple[npt.NDArray[Any], Sequence[int]]], values: Sequence[Ints]
) -> tuple[Ints, list[Ints]]:
    """Voxels in a region of any atlas (n,), and for each atlas their region, see below."""
    whole = [_whole(labels) for labels, _ in atlases]
    pairs = list(zip(whole, values, strict=True))
    maybe = [labels != 0 if reported.all() else labels >= 0 for labels, reported in pairs]
    voxels = np.flatnonzero(np.logical_or.reduce(maybe))
    indices = [_region_index(labels[voxels], reported) for labels, reported in pairs]
    inside = np.logical_or.reduce(
        [index < reported.size for index, reported in zip(indices, values, strict=True)]
    )
    return voxels[inside], [index[inside] for index in indices]


def _parts(indices: Sequence[Ints], sizes: Sequence[int]) -> Ints:
    """One number for each combination of regions (n,)."""
    parts: Ints = np.zeros(indices[0].size, dtype=np.int64)
    most = 1
    for index, size in zip(indices, sizes, strict=True):
        if most * size > _LARGEST:
            values, parts = np.unique(parts, return_inverse=True)
            most = values.size
        parts = parts * size + index
        most *= size
    return parts


def _whole(labels: npt.NDArray[Any]) -> npt.NDArray[np.integer[Any]]:
    """Labels (n_voxels,) as whole numbers; never through a type that could wrap around."""
    flat = labels.ravel()
    if flat.dtype.kind in "bui":
        whole = flat.astype(np.int64) if flat.dtype.kind == "b" else flat
    else:
        whole = flat.astype(np.int64) if np.isfinite(flat).all() else np.array([-1])
    if (whole < 0).any() or not (whole == flat).all():
        raise BadDataError(
            "The atlas has labels that are not whole numbers >= 0",
            fix="resample atlases with nearest-neighbour interpolation",
        )
    return whole


def _region_index(labels: npt.NDArray[np.integer[Any]], values: Ints) -> Ints:
    """Position of each voxel's label in ``values``, len(values) for the others."""
    order = np.argsort(values)
    rank = np.searchsorted(values, labels, sorter=order)
    position: Ints = np.append(order, values.size).astype(np.int64)[rank]
    is_region = np.append(values, -1)[position] == labels
    index: Ints = np.where(is_region, position, values.size)
    return index
