"""Lesion load of the scans, and the share of each heatmap's relevance that lies in lesions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bids_xai.arrays import Floats64
from bids_xai.bids.images import Volume, read_volume
from bids_xai.core.regions.lesions import filled_part, lesion_share
from bids_xai.group.atlas.parts import Part
from bids_xai.group.atlas.volumes import voxel_ml
from bids_xai.runtime.progress import Progress


@dataclass(frozen=True)
class LesionValues:
    """What is known of lesions by prediction, (n_maps,) each, NaN where unknown.

    load_ml : volume of the lesions in ml; share : part of the positive relevance in them, 0 to 1
    """

    load_ml: Floats64
    share: Floats64

    @classmethod
    def unknown(cls, n_maps: int) -> LesionValues:
        """Those of scans without a lesion mask."""
        return cls(np.full(n_maps, np.nan), np.full(n_maps, np.nan))

    def of(self, part: Part) -> LesionValues:
        """Those of the maps of one part."""
        return LesionValues(self.load_ml[part.lines], self.share[part.lines])


def lesion_values(masks: Sequence[Path | None], heatmaps: Sequence[Path | None]) -> LesionValues:
    """Lay heatmaps over lesion masks, one pair of files at a time.

    masks : (n_maps,), ``None`` where there is none; heatmaps : (n_maps,), on any grid of the same
    space. Raises ``BadDataError`` for a file that cannot be read.
    """
    values = LesionValues.unknown(len(heatmaps))
    watch = Progress("heatmaps laid over lesions", len(heatmaps))
    for line, (mask, heatmap) in enumerate(zip(masks, heatmaps, strict=True)):
        watch.step()
        if mask is not None and heatmap is not None:
            load_ml, share = in_lesions(read_volume(mask), read_volume(heatmap))
            values.load_ml[line], values.share[line] = load_ml, share
    return values


def in_lesions(mask: Volume, relevance: Volume) -> tuple[float, float]:
    """Return the volume of a lesion mask in ml, and the share of positive relevance in it."""
    filled = filled_part(mask.data, mask.affine, relevance.data.shape, relevance.affine)
    load_ml = float((mask.data > 0).sum()) * voxel_ml(mask)
    return load_ml, lesion_share(relevance.data, filled)
