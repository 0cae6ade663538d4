"""Heatmaps against the truth: the regions in which a dataset's classes are known to differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bids_xai.arrays import Bools
from bids_xai.bids.images import Volume
from bids_xai.core.localization import localize
from bids_xai.errors import naming
from bids_xai.group.trust.heatmaps import defined, identity
from bids_xai.tables.predictions import Prediction
from bids_xai.tables.trust import LocalizationRow


@dataclass(frozen=True)
class LocatedMap:
    """A heatmap with the true regions of its scan.

    file : of the heatmap, which errors name
    regions : name → (x, y, z) on the grid of the heatmap
    """

    prediction: Prediction
    file: Path
    heatmap: Volume
    regions: Mapping[str, Bools]


def localizations(maps: Iterable[LocatedMap], tolerance_mm: float) -> Iterator[LocalizationRow]:
    """Yield how well every heatmap finds every true region of its scan.

    A region that no voxel of the network's grid has half of is left out.
    tolerance_mm : how far outside the region the highest voxel may lie
    Raises :class:`BadDataError` naming a heatmap with undefined voxels.
    """
    for located in maps:
        for name, region in located.regions.items():
            if not region.any():
                continue
            with naming(located.file):
                measures = localize(
                    located.heatmap.data,
                    region,
                    voxel_mm=located.heatmap.voxel_mm,
                    tolerance_mm=tolerance_mm,
                )
            yield LocalizationRow(
                **identity(located.prediction),
                outcome=located.prediction.outcome,
                region=name,
                mass_accuracy=defined(measures.mass_accuracy),
                rank_accuracy=defined(measures.rank_accuracy),
                pointing_game=defined(measures.pointing_game),
                n_voxels=measures.n_voxels,
                chance=measures.chance,
            )
