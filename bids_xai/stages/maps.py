"""Stages on the images that networks see: R2* maps, FLAIR, precomputed maps, on other grids.

Each function works in a folder of its own and returns the manifest; nothing here knows nipype.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.arrays import Bools
from bids_xai.bids.files import write_nifti
from bids_xai.bids.images import Volume, empty_volume, read_volume
from bids_xai.core.masks import dilate
from bids_xai.core.qc_limits import MOST_INVALID_IN_BRAIN
from bids_xai.core.registration_quality import edge_alignment, normalised_mutual_information
from bids_xai.core.relaxometry.fractions import fractions_in
from bids_xai.errors import BadDataError
from bids_xai.settings import OutputSpace
from bids_xai.stages import ants_tools, registration
from bids_xai.stages.bias_field import correct_bias
from bids_xai.stages.products import (
    Origin,
    StageFiles,
    StageFolder,
    TransformFiles,
    resolution_text,
)
from bids_xai.templates.lookup import load_template

_REACH_MM = 8.0  # registration looks this far beyond the brain
_EDGES_MM = 8.0  # edges of the brain are smoothed with what lies this far around it


@dataclass(frozen=True)
class MapKind:
    """What an image is called and measured in.

    suffix, desc : of its name; units : of its values ("arbitrary" for weighted images)
    moving : name of its own grid in transform names and ``space-`` (``MEGRE``, ``FLAIR``)
    notes : what is to be said of the header of the image that it was read from
    echo_times_s : of the series that it was fitted to
    """

    suffix: str
    units: str
    moving: str
    desc: str = ""
    notes: tuple[str, ...] = ()
    echo_times_s: tuple[float, ...] = ()

    @property
    def names(self) -> dict[str, str]:
        """The entities that all its images share."""
        return {"desc": self.desc} if self.desc else {}

    @property
    def median_name(self) -> str:
        """What the median within the brain is called in the quality table."""
        return "BrainMedianR2star" if self.suffix == "R2starmap" else "BrainMedian"


@dataclass(frozen=True)
class UnbiasedFiles(StageFiles):
    """A weighted image without its bias field, on its own grid."""

    corrected: Path


def unbias(folder: Path, origin: Origin, image: Path, *, seed: int) -> UnbiasedFiles:
    """Correct the bias of a weighted image (FLAIR) on its own grid."""
    corrected = correct_bias(read_volume(image), seed=seed)
    path = write_nifti(folder / "corrected.nii.gz", corrected.data, corrected.affine)
    return UnbiasedFiles(StageFolder(folder, origin).close(), path)


def coregister(
    folder: Path,
    origin: Origin,
    image: Path,
    t1w: Path,
    mask: Path,
    *,
    moving: str,
    kind: str,
    seed: int,
) -> TransformFiles:
    """Estimate the transform of an image to the T1w image.

    image : with contrast like T1w between tissues and head, for MEGRE the first echo
    kind : ``Rigid`` or ``Affine``
    """
    ants = ants_tools.ants_module(seed)
    fixed, moving_image, brain = read_volume(t1w), read_volume(image), read_volume(mask)
    forward = registration.register_linear(
        ants,
        fixed,
        moving_image,
        folder / "forward.txt",
        kind=kind,
        fixed_mask=dilate(brain.data > 0, _REACH_MM, fixed.voxel_mm),
        seed=seed,
    )
    inverse = registration.invert_linear(ants, forward, folder / "inverse.txt")
    quality = _match_quality(ants, fixed, moving_image, brain.data > 0, forward)
    sidecar = {"Registration": kind, "Quality": {k: round(v, 4) for k, v in quality.items()}}
    out = StageFolder(folder, origin)
    out.add(forward, "xfm", ".txt", sidecar, **{"from": moving, "to": "T1w", "mode": "image"})
    out.add(inverse, "xfm", ".txt", {}, **{"from": "T1w", "to": moving, "mode": "image"})
    return TransformFiles(out.close(), forward, inverse)


def _match_quality(
    ants: Any, fixed: Volume, moving: Volume, brain: Bools, forward: Path
) -> dict[str, float]:
    """How well the image lies on the T1w image within the brain, on the T1w grid."""
    box = ants_tools.crop(fixed, brain, _EDGES_MM)
    anatomy = ants_tools.cut(fixed, box)
    moved = ants_tools.resample(ants, moving, anatomy, [forward])
    inside = brain[box] & (moved > 0)
    return {
        "MutualInformation": normalised_mutual_information(anatomy.data, moved, inside),
        "EdgeAlignment": edge_alignment(anatomy.data, moved, inside, fixed.voxel_mm),
    }


def map_to_t1w(
    folder: Path,
    origin: Origin,
    image: Path,
    kind: MapKind,
    t1w: Path,
    mask: Path,
    forward: Path | None,
    inverse: Path | None,
    spatial_reference: str,
    s0: Path | None = None,
) -> StageFiles:
    """Bring a map to the T1w grid and, where it has a transform, the brain mask to its own.

    forward, inverse : to and from the T1w image; ``None``: it lies there already, by its header
    s0 : S0 on the grid of a fitted R2* map; voxels without it are invalid
    Raises :class:`BadDataError` where most of the brain has no valid fit.
    """
    ants = ants_tools.ants_module(0)
    native, anatomy, brain_mask = read_volume(image), empty_volume(t1w), read_volume(mask)
    transforms = [forward] if forward else []
    mapped = ants_tools.resample(ants, _finite(native), anatomy, transforms)
    inside = brain_mask.data > 0
    quality = _map_quality(ants, native, mapped, anatomy, inside, transforms, kind.median_name)
    native_mask = (
        ants_tools.resample(ants, brain_mask, native, [inverse]) > 0.5 if inverse else None
    )
    if s0 is not None and native_mask is not None:
        quality |= _fit_in_brain(native.data, read_volume(s0).data, native_mask)
    out = StageFolder(folder, origin)
    sidecar = {
        "Units": kind.units,
        "SkullStripped": False,
        "SpatialReference": spatial_reference,
        "Interpolation": "linear",
        "Quality": quality,
    }
    if kind.notes:
        sidecar |= {"InputNotes": list(kind.notes)}
    sidecar |= _echo_times(kind)
    if kind.units == "arbitrary":
        sidecar |= {"IntensityScale": intensity_scale(mapped, inside)}
    out.image(kind.suffix, mapped, anatomy.affine, sidecar, space="T1w", **kind.names)
    if native_mask is not None:
        out.image(
            "mask",
            native_mask.astype(np.uint8),
            native.affine,
            {"Type": "Brain", "SpatialReference": origin.sources[0]},
            space=kind.moving,
            desc="brain",
        )
    return StageFiles(out.close())


def map_to_template(
    folder: Path,
    origin: Origin,
    image: Path,
    kind: MapKind,
    space: OutputSpace,
    to_t1w: Path | None,
    to_template: Path,
) -> StageFiles:
    """Bring a map from its own grid to the template in one interpolation."""
    ants = ants_tools.ants_module(0)
    template = load_template(space)
    transforms = [to_template, *([to_t1w] if to_t1w else [])]
    mapped = ants_tools.resample(ants, _finite(read_volume(image)), template.brain, transforms)
    out = StageFolder(folder, origin)
    out.image(
        kind.suffix,
        mapped,
        template.brain.affine,
        {
            "Units": kind.units,
            "SkullStripped": False,
            "Interpolation": "linear",
            "Resolution": resolution_text(template.brain),
            **_echo_times(kind),
        },
        **space.entities,
        **kind.names,
    )
    return StageFiles(out.close())


def _echo_times(kind: MapKind) -> dict[str, list[float]]:
    return {"EchoTime": list(kind.echo_times_s)} if kind.echo_times_s else {}


def intensity_scale(data: NDArray[Any], inside: Bools) -> dict[str, Any]:
    """What to divide a weighted image by so that the brain spans about 0 to 1 (nothing is shifted).

    data, inside : (x, y, z) intensities and brain mask; the value is the 99th percentile inside.
    """
    values = data[inside & np.isfinite(data)]
    value = float(np.percentile(values, 99)) if values.size else 0.0
    return {"Method": "99th percentile in the brain mask", "Value": value if value > 0 else 1.0}


def _map_quality(
    ants: Any,
    native: Volume,
    mapped: NDArray[Any],
    anatomy: Volume,
    inside: Bools,
    transforms: Sequence[Path],
    median_name: str,
) -> dict[str, float]:
    """How much of the brain the map covers, and its median there, where it covers any."""
    ones = Volume(np.ones(native.data.shape, np.float32), native.affine)
    box = ants_tools.crop(anatomy, inside, 0.0)
    near = ants_tools.resample(ants, ones, ants_tools.cut(anatomy, box), transforms)
    covered = near[inside[box]] > 0.5
    values = mapped[inside][covered]
    quality = {
        "BrainCovered": round(float(covered.mean()), 4),
        "UndefinedVoxels": int((~np.isfinite(native.data)).sum()),
    }
    median = {median_name: round(float(np.median(values)), 4)} if values.size else {}
    return quality | median


def _fit_in_brain(rate: NDArray[Any], s0: NDArray[Any], inside: Bools) -> dict[str, float]:
    """Fractions of the brain without a valid fit and with R2* at a bound, where there is brain."""
    if not inside.any():
        return {}
    fractions = fractions_in(rate, s0, inside)
    if fractions.invalid > MOST_INVALID_IN_BRAIN:
        raise BadDataError(
            f"{fractions.invalid:.0%} of the brain has no usable multi-echo signal (0, negative "
            "or not finite)",
            fix="check the magnitudes: values that ran over the range of their integers, masked "
            "images, or a registration that failed",
        )
    return {
        "BrainInvalidFraction": round(fractions.invalid, 4),
        "BrainAtBoundFraction": round(fractions.at_bound, 4),
    }


def _finite(volume: Volume) -> Volume:
    """Undefined voxels as 0: one of them would spread over its neighbours in interpolation."""
    return Volume(np.nan_to_num(volume.data, nan=0.0, posinf=0.0, neginf=0.0), volume.affine)
