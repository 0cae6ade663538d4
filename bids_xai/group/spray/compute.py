"""All analyses of a study, one after the other: maps are streamed, one is in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bids_xai.arrays import Floats32, Floats64
from bids_xai.bids.images import Volume, read_volume
from bids_xai.core.spray.audit import LEAST_SHARE
from bids_xai.errors import BadDataError
from bids_xai.figures.cluster_tiles import MOST_TILES, TILE_PX, projection_tile
from bids_xai.group.context import LOG
from bids_xai.group.spray.analysis import AuditedClusters, Heatmaps, analyse
from bids_xai.group.spray.control import Control, ControlMaker
from bids_xai.group.spray.covariate_sources import ScanColumn
from bids_xai.group.spray.inputs import NETWORK, TEMPLATE, ConfigurationMaps, SprayInputs
from bids_xai.group.spray.shares import RelevanceShares, ShareCollector
from bids_xai.group.spray.slices import SliceFile
from bids_xai.group.spray.stack import Stack, build_stack
from bids_xai.tables.spray import AnalysisSummary, MeanAri, TileSheet
from bids_xai.templates.grid import TemplateGrid


@dataclass(frozen=True)
class AnalysisResult:
    """All that is written of an analysis.

    affine : of the mean maps; tiles : pictures of the first heatmaps
    slices : (n, h, w) of the heatmaps where ViRelAy needs them, on disk; else without an item
    control : of the input maps, None where there is none; no_control : why, empty where none is
        asked for
    """

    heatmaps: Heatmaps
    clusters: AuditedClusters
    shares: RelevanceShares
    affine: Floats64
    tiles: tuple[NDArray[np.uint8], ...]
    slices: Floats32
    control: Control | None
    no_control: str

    @property
    def summary(self) -> AnalysisSummary:
        """What the report says of the analysis besides its tables."""
        result, stability = self.clusters.clustering.result, self.clusters.clustering.stability
        findings = self.clusters.audit
        outside = self.shares.mean_outside
        notes = [*result.notes, *findings.notes]
        if outside >= LEAST_SHARE:
            notes.append(
                f"On average {100 * outside:.0f} % of the relevance lies outside the brain"
            )
        if self.no_control:
            notes.append(f"there is no control ({self.no_control})")
        return AnalysisSummary(
            n_clusters=result.n_clusters,
            n_maps=len(result.labels),
            n_suspicious=len(findings.suspicious),
            notes=tuple(notes),
            ari=MeanAri(
                seed=stability.mean_ari("seed"),
                neighbours=stability.mean_ari("neighbours"),
                bootstrap=stability.mean_ari("bootstrap"),
            ),
            same_number=stability.share_of_same_number(),
            recall=result.neighbours.recall,
            tile=TileSheet(height=TILE_PX[0], width=TILE_PX[1], tiles=len(self.tiles)),
            inputs=None if self.control is None else self.control.compared(result.labels),
        )


def compute(
    inputs: SprayInputs,
    columns: Sequence[ScanColumn],
    grid: TemplateGrid | None,
    *,
    device: str,
    scratch: Path,
) -> Iterator[AnalysisResult]:
    """Yield the analyses of all configurations, those of one configuration in a row.

    columns : what is known of the scans; grid : of the template, where there is one
    device : ``cpu``, or of torch; scratch : folder that holds the maps of one analysis, and the
        slices of all
    Raises ``BadDataError`` and ``CannotCreateError`` as
    :func:`~bids_xai.group.spray.stack.build_stack` does.
    """
    analyses = _Analyses(inputs, columns, grid, device, scratch)
    for maps in inputs.configurations:
        yield from analyses.of(maps)


class _Analyses:
    """Analyses with one set of options, whose controls may be shared."""

    def __init__(
        self,
        inputs: SprayInputs,
        columns: Sequence[ScanColumn],
        grid: TemplateGrid | None,
        device: str,
        scratch: Path,
    ) -> None:
        self._inputs, self._columns, self._grid = inputs, columns, grid
        self._device, self._scratch = device, scratch
        self._controls = ControlMaker(grid, inputs.options, inputs.seed, device, scratch)

    def of(self, maps: ConfigurationMaps) -> Iterator[AnalysisResult]:
        """All analyses of one configuration; shares of relevance are collected on the way."""
        options = self._inputs.options
        collector = ShareCollector([scan.mask_file for scan in maps.scans])
        spaces = maps.spaces(options.spaces)
        for space in sorted(set(options.spaces) - set(spaces)):
            LOG.warning(
                "spray %s_%s: skipped, since %d of %d heatmaps are missing in this space",
                maps.configuration,
                space,
                maps.n_missing(space),
                len(maps.scans),
            )
        if NETWORK not in spaces:
            for row, file in enumerate(maps.complete(NETWORK)):
                collector.add(row, read_volume(file))
        for space in spaces:
            yield self._analysis(maps, space, collector)

    def _analysis(
        self, maps: ConfigurationMaps, space: str, collector: ShareCollector
    ) -> AnalysisResult:
        """Cluster and audit the heatmaps of one configuration in one space."""
        inputs = self._inputs
        heatmaps = Heatmaps(
            maps.configuration,
            space,
            maps.predictions,
            tuple(scan.name for scan in maps.scans),
            inputs.target.positive_name,
        )
        grid = self._grid if space == TEMPLATE else None
        pictures = _Pictures(
            SliceFile(self._scratch / f"{heatmaps.name}.slices", len(maps.scans)), inputs, grid
        )
        file = self._scratch / f"{heatmaps.name}.maps"
        stack = self._stack(file, maps, space, collector, pictures)
        LOG.info("spray %s: %d maps of %d voxels", heatmaps.name, *stack.maps.shape)
        clusters = analyse(
            stack,
            heatmaps,
            self._columns,
            collector.shares,
            inputs.options,
            seed=inputs.seed,
            device=self._device,
            grid=grid,
        )
        affine = stack.affine
        del stack
        file.unlink()
        control, no_control = self._control(maps, space)
        return AnalysisResult(
            heatmaps,
            clusters,
            collector.shares,
            affine,
            tuple(pictures.tiles),
            pictures.slices.slices,
            control,
            no_control,
        )

    def _stack(
        self,
        file: Path,
        maps: ConfigurationMaps,
        space: str,
        collector: ShareCollector,
        pictures: _Pictures,
    ) -> Stack:
        """Read the heatmaps into a file; those on the network's grid give shares, too."""
        files = maps.complete(space)
        readers = [partial(read_volume, path) for path in files]

        def look(row: int, volume: Volume) -> None:
            brain = pictures.inside if pictures.inside is not None else collector.add(row, volume)
            pictures.add(row, volume, np.asarray(brain, np.uint8))

        return build_stack(file, readers, self._inputs.options, pictures.inside, look, files)

    def _control(self, maps: ConfigurationMaps, space: str) -> tuple[Control | None, str]:
        """The control of the heatmaps, or why there is none.

        Raises ``BadDataError`` for a damaged file: to leave the control out would not tell of it.
        """
        if not self._inputs.options.inputs:
            return None, ""
        try:
            control = self._controls.control(maps.inputs, maps.scans, space)
        except BadDataError as error:  # such as z-scored inputs, which have no sum to be divided by
            if error.file is not None:
                raise
            return None, f"input maps: {error.problem}"
        return control, "" if control is not None else "no input maps in this space"


class _Pictures:
    """Tiles of the first heatmaps and, for ViRelAy, slices of all, made as maps are read.

    inside : brain mask (x, y, z) of the template; None on the network's grid
    """

    def __init__(self, slices: SliceFile, inputs: SprayInputs, grid: TemplateGrid | None) -> None:
        self.slices, self._virelay = slices, inputs.options.virelay
        self.inside = None if grid is None else grid.template.mask.data > 0
        self.tiles: list[NDArray[np.uint8]] = []

    def add(self, row: int, volume: Volume, brain: NDArray[np.uint8]) -> None:
        if row < MOST_TILES:
            mask = Volume(brain, volume.affine).canonical().data > 0
            self.tiles.append(projection_tile(volume.canonical().data, mask))
        if self._virelay:
            self.slices.add(row, volume.canonical().data)
