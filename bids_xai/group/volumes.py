"""Training volumes of a study's scans, made once a run and read many times."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from bids_xai.bids.images import Volume
from bids_xai.core.inputs import RunningMoments
from bids_xai.errors import NoInputError
from bids_xai.group.scans import Scan
from bids_xai.stages.network_grid import InputRule, load_network_input, load_region_mask
from bids_xai.studies.tables import Input, Study
from bids_xai.training.signals import stop_requests

if TYPE_CHECKING:
    from bids_xai.training.volumes import VolumeFiles


def input_rule(table: Input, skull_strip: bool, shape: tuple[int, int, int]) -> InputRule:
    """Return how the maps of a study's input become inputs of a network; without statistics.

    skull_strip : whether maps are multiplied by their brain masks; shape : in voxels
    """
    return InputRule(
        shape=shape,
        voxel_mm=table.voxel_mm or None,
        scaling=table.scaling,
        scale=table.scale,
        maximum=table.maximum or None,
        skull_strip=skull_strip,
    )


def with_statistics(rule: InputRule, training: Sequence[Scan]) -> InputRule:
    """Return the rule with mean and sd of the training scans, where its scaling asks for them."""
    if rule.scaling != "zscore":
        return rule
    moments = RunningMoments()
    for scan in training:
        moments.add(load_network_input(scan.map_file, scan.mask_file, rule)[0].data)
    return replace(rule, statistics=moments.result())


def training_volumes(
    study: Study, rule: InputRule, scans: Sequence[Scan], cache: Path
) -> VolumeFiles:
    """Return the scans as the training loop reads them; what is in ``cache`` is not made again.

    A signal that asks a training to stop ends it after a scan, by an :class:`InterruptedRunError`.

    The mask of a volume is where guidance wants relevance: ``training.guidance_mask``.
    """
    from bids_xai.training.volumes import VolumeFile, VolumeFiles, save_array

    training = study.training
    key = hashlib.sha256()
    inputs = (study.input, replace(rule, statistics=None))
    key.update(repr((inputs, training.guidance_mask, training.guidance_erode)).encode())
    for part in rule.statistics or ():  # of these very training scans
        key.update(part.tobytes())
    folder = cache / key.hexdigest()[:16]
    entries = []
    with stop_requests() as stop:
        for scan in scans:
            files = (folder / f"{scan.name}_input.npy", folder / f"{scan.name}_mask.npy")
            if not all(file.is_file() for file in files):
                volume, brain = load_network_input(scan.map_file, scan.mask_file, rule)
                save_array(files[0], volume.data)
                save_array(files[1], guidance_mask(study, scan, brain).data.astype(np.uint8))
            entries.append(VolumeFile(*files, study.target.names.index(scan.class_name)))
            if stop:
                raise stop.error()
    return VolumeFiles(entries)


def guidance_mask(study: Study, scan: Scan, brain: Volume) -> Volume:
    """Return where relevance should lie: the brain or atlas regions, some layers taken off.

    Raises :class:`NoInputError` where the participant level did not write the atlas.
    """
    kind, _, rest = study.training.guidance_mask.partition(":")
    mask = brain
    if kind == "atlas":
        name, _, indices = rest.partition(":")
        mask = load_region_mask(
            _atlas_file(scan, study.input.space, name),
            [int(index) for index in re.findall(r"\d+", indices)],
            brain,
        )
    layers = study.training.guidance_erode
    if layers:
        inner = ndimage.binary_erosion(mask.data > 0, iterations=layers)
        mask = Volume(inner.astype(np.float32), mask.affine)
    return mask


def _atlas_file(scan: Scan, space: str, name: str) -> Path:
    where = "space-T1w_" if space == "T1w" else ""
    files = sorted(scan.map_file.parent.glob(f"*_{where}atlas-{name}_*dseg.nii.gz"))
    if len(files) != 1:
        raise NoInputError(
            f"no labels of the atlas '{name}' on the grid of {scan.map_file.name}",
            file=scan.map_file.parent,
            fix=f"run the participant level with --atlas {name}, or use another guidance_mask",
        )
    return files[0]
