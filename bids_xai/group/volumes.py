"""Training volumes of a study's scans, made once and kept until its trainings are over."""

from __future__ import annotations

import hashlib
import math
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

import bids_xai
from bids_xai.bids.claims import claim
from bids_xai.bids.images import Volume
from bids_xai.bids.stamps import fingerprint
from bids_xai.core.inputs import RunningMoments
from bids_xai.errors import CannotCreateError, NoInputError
from bids_xai.group.context import LOG
from bids_xai.group.scans import Scan
from bids_xai.stages.network_grid import InputRule, load_network_input, load_region_mask
from bids_xai.studies.tables import Input, Study
from bids_xai.training.signals import stop_requests
from bids_xai.training.volumes import VolumeFile, VolumeFiles, is_whole, save_array

_WAIT_S = 0.5  # between two looks for what other processes make


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
    study: Study, rule: InputRule, scans: Sequence[Scan], folder: Path
) -> VolumeFiles:
    """Return the scans as the training loop reads them; what is whole in ``folder`` is kept.

    The name of a file holds a digest of what it is made from, so that runs, splits and
    configurations with the same input share it. Several processes may call this at once: each
    makes what no other is making, and waits for the rest.
    The mask of a volume is where guidance wants relevance: ``training.guidance_mask``.
    Raises :class:`InterruptedRunError` after the scan at which a signal came,
    :class:`CannotCreateError` where the disk is too small.
    """
    makers = _makers(study, rule, scans, folder)
    folder.mkdir(parents=True, exist_ok=True)
    waiting = [maker for maker in makers if not maker.is_done()]
    _check_space(waiting, folder)
    with stop_requests() as stop:
        while waiting:
            elsewhere = []
            for maker in waiting:
                with claim(maker.files.volume) as ours:
                    if not ours:
                        elsewhere.append(maker)
                    elif not maker.is_done():
                        maker.make()
                if stop:
                    raise stop.error()
            waiting = [maker for maker in elsewhere if not maker.is_done()]
            if waiting:
                time.sleep(_WAIT_S)
    return VolumeFiles([maker.files for maker in makers])


@dataclass(frozen=True)
class _Maker:
    """Makes volume and mask of a scan, the files that another maker of the same input reads."""

    study: Study
    rule: InputRule
    scan: Scan
    files: VolumeFile

    @property
    def missing(self) -> list[Path]:
        """Files that are not there, or not whole."""
        expected = {self.files.volume: np.float32, self.files.mask: np.uint8}
        shape = self.rule.shape
        return [file for file, dtype in expected.items() if not is_whole(file, shape, dtype)]

    def is_done(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing

    def make(self) -> None:
        """Write what is missing; a file that is damaged is named in the log."""
        missing = self.missing
        for file in missing:
            if file.exists():
                LOG.warning("%s is damaged and made again", file)
                file.unlink(missing_ok=True)
        volume, brain = load_network_input(self.scan.map_file, self.scan.mask_file, self.rule)
        if self.files.volume in missing:
            save_array(self.files.volume, volume.data.astype(np.float32))
        if self.files.mask in missing:
            mask = guidance_mask(self.study, self.scan, brain).data
            save_array(self.files.mask, mask.astype(np.uint8))


def _makers(study: Study, rule: InputRule, scans: Sequence[Scan], folder: Path) -> list[_Maker]:
    """One for each scan; masks have names of their own, as most settings do not matter to them."""
    statistics = hashlib.sha256(b"".join(part.tobytes() for part in rule.statistics or ()))
    of_volume = {
        "input": repr(study.input),
        "rule": repr(replace(rule, statistics=None)),
        "statistics": statistics.hexdigest(),  # of these very training scans
        "version": bids_xai.__version__,
    }
    training = study.training
    of_mask = {
        "space": study.input.space,
        "grid": repr((rule.shape, rule.voxel_mm)),
        "guidance": repr((training.guidance_mask, training.guidance_erode)),
        "version": bids_xai.__version__,
    }
    makers = []
    for scan in scans:
        inputs = [scan.map_file, scan.mask_file]
        atlas = _guidance_atlas(study, scan)
        volume = fingerprint(inputs, of_volume)[:16]
        mask = fingerprint(inputs if atlas is None else [*inputs, atlas], of_mask)[:16]
        files = VolumeFile(
            folder / f"{scan.name}_input-{volume}.npy",
            folder / f"{scan.name}_mask-{mask}.npy",
            study.target.names.index(scan.class_name),
        )
        makers.append(_Maker(study, rule, scan, files))
    return makers


def _check_space(makers: Sequence[_Maker], folder: Path) -> None:
    """Raise :class:`CannotCreateError` where the disk has no room for what is missing."""
    if not makers:
        return
    n_bytes = sum(
        math.prod(maker.rule.shape) * (4 if file == maker.files.volume else 1)
        for maker in makers
        for file in maker.missing
    )
    free = shutil.disk_usage(folder).free
    if n_bytes > free:
        raise CannotCreateError(
            f"the training volumes of {len(makers)} scans need {n_bytes / 1e9:.2f} GB, and "
            f"{free / 1e9:.2f} GB are free",
            file=folder,
            fix="free space, give a larger disk by --work-dir, or use larger voxels "
            "(input.voxel_mm)",
        )


def guidance_mask(study: Study, scan: Scan, brain: Volume) -> Volume:
    """Return where relevance should lie: the brain or atlas regions, some layers taken off.

    Raises :class:`NoInputError` where the participant level did not write the atlas.
    """
    mask, atlas = brain, _guidance_atlas(study, scan)
    if atlas is not None:
        indices = study.training.guidance_mask.split(":")[2:]
        mask = load_region_mask(
            atlas, [int(index) for index in re.findall(r"\d+", ":".join(indices))], brain
        )
    layers = study.training.guidance_erode
    if layers:
        inner = ndimage.binary_erosion(mask.data > 0, iterations=layers)
        mask = Volume(inner.astype(np.float32), mask.affine)
    return mask


def _guidance_atlas(study: Study, scan: Scan) -> Path | None:
    """Labels that guidance takes its regions from; None for the brain mask."""
    kind, _, rest = study.training.guidance_mask.partition(":")
    return _atlas_file(scan, study.input.space, rest.split(":")[0]) if kind == "atlas" else None


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
