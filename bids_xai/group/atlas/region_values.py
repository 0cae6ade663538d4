"""Region values of all maps as compact arrays, and the lines of the table of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bids_xai.arrays import Floats, Floats64
from bids_xai.core.regions.names import Region, joined_regions, joined_sums, single_regions
from bids_xai.core.regions.sums import RegionIndex, divide
from bids_xai.group.atlas.parts import Part
from bids_xai.tables.atlas import ScanRegionRow
from bids_xai.tables.predictions import Prediction
from bids_xai.templates.lookup import Atlas


@dataclass(frozen=True)
class View:
    """Relevance by region of one atlas, its sides apart or joined.

    sums, abs_sums : (n_maps, n_regions); totals : (n_maps,) of the whole maps
    n_voxels : (n_regions,)
    """

    atlas: str
    merged: bool
    regions: tuple[Region, ...]
    n_voxels: Floats64
    sums: Floats64
    abs_sums: Floats64
    totals: Floats64

    @property
    def densities(self) -> Floats64:
        """Sum a voxel, (n_maps, n_regions), NaN for a region without voxels."""
        return divide(self.sums, self.n_voxels[None, :])

    @property
    def shares(self) -> Floats64:
        """Share of the whole map's sum, (n_maps, n_regions), NaN where that is zero."""
        return divide(self.sums, self.totals[:, None])

    def of(self, part: Part) -> View:
        """The maps of one part."""
        return replace(
            self,
            sums=self.sums[part.lines],
            abs_sums=self.abs_sums[part.lines],
            totals=self.totals[part.lines],
        )


class RegionValues:
    """Collects the region sums of maps, atlas by atlas; 16 bytes a map and region.

    Raises ``BadDataError`` for atlases of different shapes. Without any atlas nothing is summed.
    """

    def __init__(self, atlases: Sequence[Atlas], n_maps: int) -> None:
        self._atlases = tuple(atlases)
        values = [[index for index, _ in atlas.labels] for atlas in atlases]
        images = [atlas.volume.data for atlas in atlases]
        self._index = RegionIndex(list(zip(images, values, strict=True))) if atlases else None
        self._totals: Floats64 = np.full(n_maps, np.nan)
        self._sums = [np.full((n_maps, len(indices)), np.nan) for indices in values]
        self._abs_sums = [np.full((n_maps, len(indices)), np.nan) for indices in values]

    def add(self, line: int, relevance: Floats) -> None:
        """Take in the map (x, y, z) of one line. Raises as :meth:`RegionIndex.sums`."""
        if self._index is None:
            return
        self._totals[line] = relevance.sum(dtype=np.float64)
        for number, regions in enumerate(self._index.sums(relevance)):
            self._sums[number][line] = regions.sum
            self._abs_sums[number][line] = regions.abs_sum

    def views(self) -> list[View]:
        """Every atlas with its sides apart, then joined where it has any."""
        return [view for number in range(len(self._atlases)) for view in self._views_of(number)]

    def _views_of(self, number: int) -> Iterator[View]:
        if self._index is None:
            return
        atlas, sizes = self._atlases[number], self._index.n_voxels[number].astype(np.float64)
        values = (sizes, self._sums[number], self._abs_sums[number])
        yield View(atlas.name, False, single_regions(atlas.labels), *values, self._totals)
        if joined := joined_regions(atlas.labels):
            sizes, sums, abs_sums = (joined_sums(array, joined) for array in values)
            yield View(atlas.name, True, joined, sizes, sums, abs_sums, self._totals)


def scan_region_rows(
    predictions: Sequence[Prediction], views: Sequence[View]
) -> Iterator[ScanRegionRow]:
    """Yield the lines of ``regions.tsv``, map by map; sides apart."""
    tables = [(view, view.densities, view.shares) for view in views if not view.merged]
    for line, prediction in enumerate(predictions):
        for view, densities, shares in tables:
            for column, region in enumerate(view.regions):
                yield ScanRegionRow(
                    participant_id=prediction.participant_id,
                    session_id=prediction.session_id,
                    configuration=prediction.configuration,
                    split=prediction.split,
                    method=prediction.method or "",
                    atlas=view.atlas,
                    index=region.index,
                    name=region.name,
                    hemisphere=region.hemisphere or None,
                    n_voxels=int(view.n_voxels[column]),
                    sum=float(view.sums[line, column]),
                    abs_sum=float(view.abs_sums[line, column]),
                    density=float(densities[line, column]),
                    share=float(shares[line, column]),
                    true_class=prediction.true_class,
                    outcome=prediction.outcome,
                )
