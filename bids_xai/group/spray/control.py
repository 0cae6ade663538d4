"""The control of spectral relevance analysis: the input maps, clustered as the heatmaps are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bids_xai.arrays import Floats32, Ints
from bids_xai.bids.images import Volume
from bids_xai.group.context import Scan
from bids_xai.group.spray.analysis import Clustering, cluster
from bids_xai.group.spray.input_maps import InputMaps, InputSource
from bids_xai.group.spray.inputs import NETWORK, TEMPLATE
from bids_xai.group.spray.slices import SliceFile
from bids_xai.group.spray.stack import build_stack
from bids_xai.studies.tables import Spray
from bids_xai.tables.spray import ControlSummary
from bids_xai.templates.grid import TemplateGrid


@dataclass(frozen=True)
class Control:
    """Clusters of input maps, each scan once: copies would be each other's nearest maps.

    first : (m,) number of the first heatmap of each scan; scan_of : (n,) scan of each heatmap
    slices : (m, h, w) middle slices where ViRelAy needs them, on disk; else without an item
    """

    first: Ints
    scan_of: Ints
    clustering: Clustering
    slices: Floats32

    @property
    def labels(self) -> Ints:
        """Cluster (n,) of the input of each heatmap."""
        return self.clustering.result.labels[self.scan_of]

    @property
    def slices_of_heatmap(self) -> Callable[[int], Floats32] | None:
        """From the number of a heatmap to the slices (h, w) of its input; None without slices."""
        return (lambda row: self.slices[self.scan_of[row]]) if len(self.slices) else None

    def compared(self, labels: Ints) -> ControlSummary:
        """Return how much the clusters are those of the heatmaps, ``labels`` (n,)."""
        from sklearn.metrics import adjusted_rand_score

        ari = float(adjusted_rand_score(labels, self.labels))
        return ControlSummary(n_clusters=self.clustering.result.n_clusters, ari=ari)


class ControlMaker:
    """Makes controls; configurations whose networks see the same inputs share one.

    grid : of the template, where there is one; scratch : folder for maps and slices
    """

    def __init__(
        self, grid: TemplateGrid | None, options: Spray, seed: int, device: str, scratch: Path
    ) -> None:
        self._grid, self._options, self._scratch = grid, options, scratch
        self._seed, self._device = seed, device
        self._controls: dict[tuple[str, str, tuple[str, ...]], Control] = {}

    def control(self, source: InputSource, scans: Sequence[Scan], space: str) -> Control | None:
        """Return the control of n heatmaps, ``None`` where there are no input maps.

        scans : (n) of each heatmap
        Raises ``BadDataError`` for inputs that cannot be clustered, such as z-scores without a sum.
        """
        names = tuple(scan.name for scan in scans)
        first, scan_of = scans_once(names)
        inputs = self._inputs(source, [scans[row] for row in first], space)
        if inputs is None:
            return None
        key = (space, inputs.rule, names)
        if key not in self._controls:
            self._controls[key] = self._make(space, inputs.readers, first, scan_of)
        return self._controls[key]

    def _inputs(self, source: InputSource, scans: list[Scan], space: str) -> InputMaps | None:
        if space == NETWORK:
            return source.network_maps(scans)
        return source.template_maps(scans, self._grid.template.brain) if self._grid else None

    def _make(
        self, space: str, readers: Sequence[Callable[[], Volume]], first: Ints, scan_of: Ints
    ) -> Control:
        slices = SliceFile(self._scratch / f"inputs-{len(self._controls)}.slices", len(readers))

        def look(row: int, volume: Volume) -> None:
            if self._options.virelay:
                slices.add(row, volume.canonical().data)

        in_template = self._grid is not None and space == TEMPLATE
        inside = self._grid.template.mask.data > 0 if self._grid and in_template else None
        file = self._scratch / "inputs.maps"
        stack = build_stack(file, readers, self._options, inside, look)
        clustering = cluster(stack.maps, self._options, seed=self._seed, device=self._device)
        del stack
        file.unlink()
        return Control(first, scan_of, clustering, slices.slices)


def scans_once(names: Sequence[str]) -> tuple[Ints, Ints]:
    """Return the number of the first map of each scan (m,), and the scan of each map (n,).

    names : (n) scan of each map; scans are counted from 0 in the order of their first maps
    """
    number: dict[str, int] = {}
    first = []
    for row, name in enumerate(names):
        if name not in number:
            number[name] = len(number)
            first.append(row)
    return np.array(first, np.int64), np.array([number[name] for name in names], np.int64)
