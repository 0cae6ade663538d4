"""What the step leaves: the tables of ``atlas/`` and the mean maps of ``means/``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from bids_xai.bids.files import write_json, write_nifti
from bids_xai.bids.images import read_volume
from bids_xai.bids.names import label_of
from bids_xai.group.atlas.compute import AtlasTables
from bids_xai.group.atlas.mean_maps import MeanMap, MeanMapKey
from bids_xai.group.context import LOG
from bids_xai.tables.atlas import (
    BIOLOGY,
    FINGERPRINTS,
    GAIN,
    OVERLAP,
    RANKINGS,
    REGIONS,
    TRAJECTORIES,
    VOLUMES,
    RegionGain,
)
from bids_xai.templates.grid import TemplateGrid

_IMAGE = ".nii.gz"


class MeanMapFolder:
    """Mean maps as files with a JSON each: written as they are put in, read when asked for.

    folder : of the files; grid : what the maps lie on
    first_method : the maps of this method carry no ``desc``
    """

    def __init__(self, folder: Path, grid: TemplateGrid, first_method: str) -> None:
        self._folder, self._grid, self._first_method = folder, grid, first_method
        self._n_scans: dict[MeanMapKey, int] = {}
        self.files: list[Path] = []

    def __setitem__(self, key: MeanMapKey, mean: MeanMap) -> None:
        """Write a map (x, y, z). Raises :class:`CannotCreateError` where the disk refuses."""
        path = self.file(key)
        sidecar = {
            "Method": key.method,
            "Group": key.group,
            "Scans": mean.n_scans,
            "Space": str(self._grid.space),
        }
        self.files += [
            write_nifti(path, mean.data, self._grid.template.brain.affine),
            write_json(path.with_name(path.name.removesuffix(_IMAGE) + ".json"), sidecar),
        ]
        self._n_scans[key] = mean.n_scans

    def __getitem__(self, key: MeanMapKey) -> MeanMap:
        """Read a map that was put in."""
        return MeanMap(read_volume(self.file(key)).data, self._n_scans[key])

    def file(self, key: MeanMapKey) -> Path:
        """Where a mean map lies."""
        desc = "" if key.method == self._first_method else f"_desc-{label_of(key.method)}"
        start = f"configuration-{key.configuration}_group-{label_of(key.group)}"
        return self._folder / f"{start}{desc}_mean{_IMAGE}"


def write(tables: AtlasTables, folder: Path) -> list[Path]:
    """Write every table into the folder, with its JSON; return all files.

    Raises :class:`CannotCreateError` where the folder or disk refuses.
    """
    return [
        *REGIONS.write(folder / REGIONS.file, tables.regions),
        *TRAJECTORIES.write(folder / TRAJECTORIES.file, tables.trajectories),
        *GAIN.write(folder / GAIN.file, tables.gain, notes={"gain": gain_note(tables.gain)}),
        *RANKINGS.write(folder / RANKINGS.file, tables.rankings),
        *OVERLAP.write(folder / OVERLAP.file, tables.overlap),
        *FINGERPRINTS.write(folder / FINGERPRINTS.file, tables.fingerprints),
        *VOLUMES.write(folder / VOLUMES.file, tables.volumes),
        *BIOLOGY.write(folder / BIOLOGY.file, tables.biology),
    ]


def gain_note(gains: Sequence[RegionGain]) -> str:
    """How many lines have no gain, to be added to its meaning; the log says it as well."""
    missing = sum(1 for row in gains if row.gain is None or math.isnan(row.gain))
    if missing:
        LOG.warning(
            "atlas: no gain in %d of %d lines of gain.tsv, where the controls' mean relevance "
            "is close to zero, or there are no controls",
            missing,
            len(gains),
        )
    return f"; n/a in {missing} of {len(gains)} lines of this table"
