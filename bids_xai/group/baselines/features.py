"""What a baseline sees of a scan: voxels, means by region, or the lesion load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bids_xai.arrays import Bools, Floats32, Ints
from bids_xai.bids.images import Volume, read_volume
from bids_xai.bids.names import parse_name
from bids_xai.core.grids import nearest_on_grid
from bids_xai.core.inputs import network_input
from bids_xai.core.regions.sums import region_relevance
from bids_xai.errors import BadDataError, NoInputError, naming
from bids_xai.group.context import LOG
from bids_xai.group.maps import input_space, lesion_mask
from bids_xai.group.scans import Scan
from bids_xai.group.volumes import input_rule
from bids_xai.settings import RELEVANCE_RESOLUTION, OutputSpace
from bids_xai.stages.network_grid import common_shape, load_network_input
from bids_xai.studies.tables import Input
from bids_xai.templates.lookup import load_atlas

FINEST_MM = 4.0
"""Smallest voxels of ``volume``: a brain has two million of 1 mm, thirty thousand of 4 mm."""


@dataclass(frozen=True)
class Features:
    """Features of every scan of a study.

    rows : scan's name → row of ``values``
    values : (n_scans, k); NaN where a scan lacks a measure
    brain : (n_scans, k) whether a voxel is brain; ``None`` for features that are no voxels
    """

    rows: dict[str, int]
    values: Floats32
    brain: Bools | None = None

    def selected(self, training: Sequence[Scan]) -> Bools:
        """Return (k,) the features to use: voxels that are brain in half of the training scans."""
        if self.brain is None:
            return np.ones(self.values.shape[1], dtype=bool)
        share = self.brain[self._of(training)].mean(axis=0)
        return np.asarray(share >= 0.5)

    def of(self, scans: Sequence[Scan], selected: Bools) -> Floats32:
        """Return the selected features of some scans (n, k_selected)."""
        return self.values[self._of(scans)][:, selected]

    def _of(self, scans: Sequence[Scan]) -> Ints:
        return np.array([self.rows[scan.name] for scan in scans], dtype=np.int64)


def measure(kind: str, scans: Sequence[Scan], table: Input, template: str) -> Features:
    """Return the features of a study's scans.

    kind : ``volume``, ``regions`` or ``lesion-load``
    table : the input of the study's networks; template : empty where there is none
    Raises :class:`NoInputError` where there is no atlas or no lesion mask at all, and
    :class:`BadDataError` for an image that cannot be used.
    """
    return _KINDS[kind](scans, table, template)


def files_behind(kind: str, scans: Sequence[Scan], table: Input, template: str) -> list[Path]:
    """Return the files that the features come from, as far as they exist.

    Arguments as of :func:`measure`.
    """
    if kind == "lesion-load":
        masks = [lesion_mask(scan, input_space(table, template)) for scan in scans]
        return [file for file in masks if file is not None]
    files = [file for scan in scans for file in (scan.map_file, scan.mask_file)]
    if kind == "regions" and table.space == "T1w":
        name = _common_atlas(scans)
        files += [_atlases(scan)[name] for scan in scans if name]
    return files


def _volumes(scans: Sequence[Scan], table: Input, template: str) -> Features:
    """Voxels of the skull-stripped input of the study's networks, on a grid of 4 mm or coarser.

    z-scores are left out: a support vector machine standardises every voxel itself.
    """
    voxel_mm = max(table.voxel_mm, FINEST_MM)
    shape = common_shape([scan.map_file for scan in scans], voxel_mm)
    rule = replace(input_rule(table, True, shape), voxel_mm=voxel_mm)
    values = np.empty((len(scans), int(np.prod(shape))), dtype=np.float32)
    brain = np.empty(values.shape, dtype=bool)
    for row, scan in enumerate(scans):
        volume, mask = load_network_input(scan.map_file, scan.mask_file, rule)
        values[row], brain[row] = volume.data.ravel(), mask.data.ravel() > 0
    anywhere = brain.any(axis=0)
    return Features(_rows(scans), values[:, anywhere], brain[:, anywhere])


def _regions(scans: Sequence[Scan], table: Input, template: str) -> Features:
    """Mean of the input over every region of an atlas, within the brain, on the map's own grid."""
    in_template = table.space == "template"
    labels_of = _template_labels(scans, template) if in_template else _t1w_labels(scans)
    means = [_means_by_region(scan, labels_of(scan), table) for scan in scans]
    regions = sorted(set().union(*means))
    values = [[of_scan.get(region, np.nan) for region in regions] for of_scan in means]
    return Features(_rows(scans), np.array(values, dtype=np.float32).reshape(len(scans), -1))


def _lesion_load(scans: Sequence[Scan], table: Input, template: str) -> Features:
    """Volume of the lesion mask in ml; 0 without a mask."""
    files = [lesion_mask(scan, input_space(table, template)) for scan in scans]
    missing = files.count(None)
    if missing == len(files):
        raise NoInputError(
            "no scan of the study has a lesion mask, which features = 'lesion-load' needs",
            file=scans[0].map_file.parent,
            fix=(
                "run the participant level with -d NAME=PATH of a folder that contains lesion masks"
            ),
        )
    if missing:
        LOG.warning(
            "lesion load: %d of %d scans have no lesion mask and count as 0 ml", missing, len(files)
        )
    loads = [0.0 if file is None else _volume_ml(read_volume(file)) for file in files]
    return Features(_rows(scans), np.array(loads, dtype=np.float32)[:, None])


_KINDS: dict[str, Callable[[Sequence[Scan], Input, str], Features]] = {
    "volume": _volumes,
    "regions": _regions,
    "lesion-load": _lesion_load,
}


def _rows(scans: Sequence[Scan]) -> dict[str, int]:
    return {scan.name: row for row, scan in enumerate(scans)}


def _volume_ml(mask: Volume) -> float:
    voxel_mm3 = abs(float(np.linalg.det(mask.affine[:3, :3])))
    return float((mask.data > 0).sum()) * voxel_mm3 / 1000


def _atlases(scan: Scan) -> dict[str, Path]:
    """Label images on the T1w grid beside the map: name (with its variant) → file."""
    atlases: dict[str, Path] = {}
    for file in sorted(scan.map_file.parent.glob("*_space-T1w_atlas-*_dseg.nii.gz")):
        atlases.setdefault(parse_name(file.name)[0].get("atlas", ""), file)
    return atlases


def _common_atlas(scans: Sequence[Scan]) -> str:
    """The first atlas that lies beside all maps; empty where there is none."""
    common = set.intersection(*(set(_atlases(scan)) for scan in scans))
    return min(common, default="")


def _t1w_labels(scans: Sequence[Scan]) -> Callable[[Scan], Volume]:
    """What reads the labels over a scan, of the first atlas that all have."""
    name = _common_atlas(scans)
    if not name:
        raise NoInputError(
            "not all scans have an atlas beside their maps, which features = 'regions' needs",
            file=scans[0].map_file.parent,
            fix="run the participant level with the same --atlas for all participants",
        )
    return lambda scan: read_volume(_atlases(scan)[name], np.int32)


def _template_labels(scans: Sequence[Scan], template: str) -> Callable[[Scan], Volume]:
    """What gives the labels of the template, the same for all scans."""
    cohort = parse_name(scans[0].map_file.name)[0].get("cohort", "")
    space = OutputSpace(template, RELEVANCE_RESOLUTION, cohort)
    atlas = load_atlas(space)
    if atlas is None:
        raise NoInputError(
            f"there is no atlas for {space}, which features = 'regions' needs",
            fix='use features = "volume", or input.space = "T1w" with --atlas',
        )
    labels = atlas.volume
    return lambda scan: labels


def _means_by_region(scan: Scan, labels: Volume, table: Input) -> dict[int, float]:
    """Region → mean of the scan's input over its voxels in the brain, in units of the input."""
    image, mask = read_volume(scan.map_file), read_volume(scan.mask_file)
    if image.data.shape != mask.data.shape:
        raise BadDataError(
            f"map {image.data.shape} and brain mask {mask.data.shape} have different shapes",
            file=scan.mask_file,
            fix="run the participant level again for this participant",
        )
    with naming(scan.map_file):
        values = network_input(
            image.data,
            mask.data,
            scale=table.scale,
            maximum=table.maximum or None,
            scaling=table.scaling,
        )
    usable = (mask.data > 0) & np.isfinite(image.data)
    on_grid = np.where(usable, _labels_on(labels, image), 0)
    regions = [int(value) for value in np.unique(on_grid) if value > 0]
    sums = region_relevance(values, on_grid, regions)  # their density is the mean over a region
    return dict(zip(regions, sums.density.tolist(), strict=True))


def _labels_on(labels: Volume, like: Volume) -> NDArray[np.integer]:
    """The labels on the grid of another volume of the same space."""
    shape = like.data.shape
    if labels.data.shape == shape and np.allclose(labels.affine, like.affine, atol=1e-3):
        return labels.data
    return nearest_on_grid(labels.data, labels.affine, shape, like.affine)
