"""The files behind the predictions, and how they become arrays, one volume at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from bids_xai.bids.images import read_volume
from bids_xai.bids.session_times import SessionTimes, session_times
from bids_xai.errors import BadDataError
from bids_xai.group.atlas.biology import Biology
from bids_xai.group.atlas.compute import AtlasInputs, PredictedHeatmap
from bids_xai.group.atlas.lesions import lesion_values
from bids_xai.group.atlas.trajectories import TimesOf
from bids_xai.group.atlas.volume_table import user_volumes
from bids_xai.group.atlas.volumes import FROM_TABLE, RegionVolumes, warped_volumes
from bids_xai.studies.tables import Target
from bids_xai.tables.predictions import Prediction
from bids_xai.templates.grid import TemplateGrid
from bids_xai.templates.lookup import Atlas


@dataclass(frozen=True)
class ScanFiles:
    """What the participant level left of a scan.

    label_images : every atlas warped to its T1w image; lesion_mask : in the space of its map
    """

    name: str
    label_images: tuple[Path, ...] = ()
    lesion_mask: Path | None = None

    def label_image(self, atlas: str) -> Path | None:
        """The atlas of this name on the T1w image."""
        ending = f"_space-T1w_atlas-{atlas}_dseg.nii.gz"
        return next((file for file in self.label_images if file.name.endswith(ending)), None)


@dataclass(frozen=True)
class PredictionFiles:
    """A prediction with its heatmap on the template grid, on the network's grid, and its scan."""

    prediction: Prediction
    warped_heatmap: Path
    heatmap: Path | None
    scan: ScanFiles | None


@dataclass(frozen=True)
class AtlasFiles:
    """What the step works on: records and files, none of them opened yet.

    predictions : in the order of the tables
    volume_table : the user's own volumes of regions, where given
    sessions : participant (``sub-X``) → their sessions.tsv, where there is one
    """

    predictions: tuple[PredictionFiles, ...]
    target: Target
    volume_table: Path | None
    sessions: Mapping[str, Path]
    seed: int

    @property
    def files(self) -> tuple[Path, ...]:
        """All that exist, each once."""
        files: list[Path | None] = [self.volume_table, *self.sessions.values()]
        for row in self.predictions:
            files += [row.warped_heatmap, row.heatmap]
            if row.scan is not None:
                files += [*row.scan.label_images, row.scan.lesion_mask]
        return tuple(file for file in dict.fromkeys(files) if file is not None and file.is_file())


def load(files: AtlasFiles, grid: TemplateGrid) -> AtlasInputs:
    """Measure the scans; heatmaps are read as they are taken in.

    Raises :class:`NoInputError` or :class:`BadDataError` for an image or a table of the user's
    that cannot be used. Without an atlas nothing is measured.
    """
    predictions = [row.prediction for row in files.predictions]
    return AtlasInputs(
        predictions=predictions,
        heatmaps=HeatmapFiles(
            [row.warped_heatmap for row in files.predictions], grid.template.brain.data.shape
        ),
        brain=grid.template.mask.data > 0,
        atlases=grid.atlases,
        target=files.target,
        biology=_biology(files, grid.atlases),
        times_of=_times_from(files.sessions),
        seed=files.seed,
    )


@dataclass(frozen=True)
class HeatmapFiles:
    """Heatmaps on the template grid, one of them in memory at a time."""

    files: Sequence[Path]
    shape: tuple[int, ...]

    def __iter__(self) -> Iterator[PredictedHeatmap]:
        """Raises :class:`BadDataError` for a map that is not on the grid."""
        for file in self.files:
            relevance = read_volume(file).data
            if relevance.shape != self.shape:
                raise BadDataError(
                    "the relevance map is not on the template grid",
                    file=file,
                    fix="run --steps explain again",
                )
            yield PredictedHeatmap(relevance, str(file))


def _biology(files: AtlasFiles, atlases: Sequence[Atlas]) -> Biology:
    volumes = {atlas.name: _volumes(files, atlas) for atlas in atlases}
    measured = {name: v for name, v in volumes.items() if np.isfinite(v.ml).any()}
    masks = [row.scan.lesion_mask if row.scan else None for row in files.predictions]
    heatmaps = [row.heatmap if atlases else None for row in files.predictions]
    return Biology(measured, lesion_values(masks, heatmaps))


def _volumes(files: AtlasFiles, atlas: Atlas) -> RegionVolumes:
    if files.volume_table is not None:
        predictions = [row.prediction for row in files.predictions]
        return RegionVolumes(user_volumes(files.volume_table, predictions, atlas), FROM_TABLE)
    scans = [row.scan for row in files.predictions]
    return warped_volumes(
        [scan.name if scan else None for scan in scans],
        [scan.label_image(atlas.name) if scan else None for scan in scans],
        atlas,
    )


def _times_from(files: Mapping[str, Path]) -> TimesOf:
    """The sessions of a participant are looked up once."""

    @cache
    def times(participant: str, sessions: tuple[str, ...]) -> SessionTimes:
        return session_times(files.get(participant), sessions)

    return lambda participant, sessions: times(participant, tuple(sessions))
