"""Volumes of atlas regions in the scans, from the atlas warped to the T1w image of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bids_xai.arrays import Floats64
from bids_xai.bids.images import Volume, read_volume
from bids_xai.group.atlas.parts import Part
from bids_xai.group.context import LOG
from bids_xai.runtime.progress import Progress
from bids_xai.tables.atlas import RegionVolume
from bids_xai.templates.lookup import Atlas

FROM_WARPED_ATLAS = "dseg"
FROM_TABLE = "table"


@dataclass(frozen=True)
class RegionVolumes:
    """Volumes of the regions of one atlas by prediction, NaN where unknown.

    ml : (n_maps, n_labels) ml, or as in the user's table
    source : :data:`FROM_WARPED_ATLAS` or :data:`FROM_TABLE`
    rows : lines of ``volumes.tsv``, of what was measured here
    """

    ml: Floats64
    source: str
    rows: tuple[RegionVolume, ...] = ()

    def of(self, part: Part) -> RegionVolumes:
        """Those of the maps of one part, without the lines."""
        return replace(self, ml=self.ml[part.lines], rows=())


def warped_volumes(
    scans: Sequence[str | None], label_images: Sequence[Path | None], atlas: Atlas
) -> RegionVolumes:
    """Measure the regions of an atlas in the scan behind each prediction, every scan once.

    scans : (n_maps,) names, ``None`` where the scan is not known
    label_images : (n_maps,) the atlas on the T1w image of each, ``None`` where there is none
    """
    unknown = np.full(len(atlas.labels), np.nan)
    by_scan: dict[str, Floats64] = {}
    rows: list[RegionVolume] = []
    watch = Progress(f"scans measured on atlas {atlas.name}", len(scans))
    for scan, file in zip(scans, label_images, strict=True):
        watch.step()
        if scan is None or scan in by_scan:
            continue
        by_scan[scan] = unknown
        if file is not None:
            by_scan[scan] = volumes_ml(read_volume(file, np.int32), atlas.labels)
            rows += _rows(scan, atlas, by_scan[scan])
    _warn_of_unknown(atlas, sum(1 for ml in by_scan.values() if ml is unknown), len(by_scan))
    ml = np.array([unknown if scan is None else by_scan[scan] for scan in scans])
    return RegionVolumes(ml, FROM_WARPED_ATLAS, tuple(rows))


def volumes_ml(image: Volume, labels: Iterable[tuple[int, str]]) -> Floats64:
    """Volumes (n_labels,) in ml of the labels (value, name) in a label image, 0 without voxels."""
    values, counts = np.unique(image.data[image.data > 0], return_counts=True)
    n_voxels = dict(zip(values.tolist(), counts.tolist(), strict=True))
    return np.array([n_voxels.get(index, 0) * voxel_ml(image) for index, _ in labels])


def voxel_ml(image: Volume) -> float:
    """Volume of a voxel in ml, of an affine in mm."""
    return abs(float(np.linalg.det(image.affine[:3, :3]))) / 1000


def _rows(scan: str, atlas: Atlas, ml: Floats64) -> list[RegionVolume]:
    return [
        RegionVolume(scan=scan, atlas=atlas.name, index=index, name=name, volume_ml=volume)
        for (index, name), volume in zip(atlas.labels, ml.tolist(), strict=True)
    ]


def _warn_of_unknown(atlas: Atlas, n_unknown: int, n_scans: int) -> None:
    if n_unknown:
        LOG.warning(
            "atlas %s: %d of %d scans have no atlas on their T1w image (participant level with "
            "--atlas %s); their volumes are unknown",
            atlas.name,
            n_unknown,
            n_scans,
            atlas.name,
        )
