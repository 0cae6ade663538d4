"""The control of spectral relevance analysis: the input maps, clustered as the heatmaps are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bids_xai.arrays import Floats32, Ints
from bids_xai.bids.images import Volume
from bids_xai.core.spray.clusters import SprayResult, spray
from bids_xai.core.spray.stability import Stability, stability
from bids_xai.group.context import GroupContext, Scan
from bids_xai.group.spray.inputs import input_readers
from bids_xai.group.spray.stack import Stack, build_stack
from bids_xai.group.spray.virelay import SliceFile
from bids_xai.runtime.device import choose_device
from bids_xai.studies.tables import Configuration
from bids_xai.templates.grid import TemplateGrid


def clustered(context: GroupContext, stack: Stack) -> tuple[SprayResult, Stability]:
    """Cluster maps as the study says, and see how stable that is."""
    settings, seed = context.study.spray, context.settings.random_seed
    result = spray(
        stack.maps,
        settings.neighbours,
        seed,
        max_clusters=settings.max_clusters,
        embedding=settings.embedding,
        memory_mb=settings.memory_mb,
        approximate_from=settings.approximate_from,
        device=choose_device(context.settings.device),
    )
    sure = stability(
        result, max_clusters=settings.max_clusters, seed=seed, bootstraps=settings.bootstraps
    )
    return result, sure


@dataclass(frozen=True)
class Control:
    """Clusters of input maps, each scan once: copies would be each other's nearest maps.

    first : (m,) number of the first heatmap of each scan; scan_of : (n,) scan of each heatmap
    slices : (m, h, w) middle slices where ViRelAy needs them, on disk; else without an item
    """

    first: Ints
    scan_of: Ints
    result: SprayResult
    stability: Stability
    slices: Floats32

    @property
    def labels(self) -> Ints:
        """Cluster (n,) of the input of each heatmap."""
        return self.result.labels[self.scan_of]


@dataclass
class Controls:
    """Makes controls; configurations whose networks see the same inputs share one."""

    context: GroupContext
    grid: TemplateGrid | None
    work: Path
    _made: dict[tuple[object, ...], Control] = field(default_factory=dict)

    def of(self, configuration: Configuration, scans: Sequence[Scan], space: str) -> Control | None:
        """The control of the heatmaps of these scans, ``None`` where there are no input maps."""
        names = [scan.name for scan in scans]
        first = np.array([names.index(name) for name in dict.fromkeys(names)])
        once = [scans[number] for number in first]
        template = self.grid.template.brain if self.grid else None
        found = input_readers(self.context, configuration, once, space, template)
        if found is None:
            return None
        key = (space, found[0], tuple(names))
        if key not in self._made:
            place = {name: number for number, name in enumerate(dict.fromkeys(names))}
            scan_of = np.array([place[name] for name in names])
            self._made[key] = self._make(space, found[1], first, scan_of)
        return self._made[key]

    def _make(
        self, space: str, readers: Sequence[Callable[[], Volume]], first: Ints, scan_of: Ints
    ) -> Control:
        settings = self.context.study.spray
        slices = SliceFile(self.work / f"inputs-{len(self._made)}.slices", len(readers))

        def look(row: int, volume: Volume) -> None:
            if settings.virelay:
                slices.add(row, volume.canonical().data)

        inside = self.grid.template.mask.data > 0 if self.grid and space == "template" else None
        file = self.work / "inputs.maps"
        stack = build_stack(file, readers, settings, inside, look)
        result, sure = clustered(self.context, stack)
        del stack
        file.unlink()
        return Control(first, scan_of, result, sure, slices.slices)
