"""The template of an output space: brain and brain mask, and head, on one grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bids_xai.bids.images import Volume, read_volume
from bids_xai.errors import BadDataError
from bids_xai.settings import EMBEDDED_TEMPLATE, OutputSpace
from bids_xai.templates import flow

_MASKS = ({"desc": "brain"}, {"label": "brain"})  # UNCInfant writes label-brain
_AFFINE_MM = 0.01  # two grids are one where no voxel is further apart


@dataclass(frozen=True)
class Template:
    """A T1w template on one grid.

    brain : T1w, 0 outside the brain; mask : uint8, 1 in the brain
    """

    name: str
    brain: Volume
    mask: Volume


def load_template(space: OutputSpace) -> Template:
    """Return the template of an output space: the embedded one, or any of TemplateFlow's.

    The brain is ``desc-brain_T1w`` where there is one, else the head within the mask.
    Raises :class:`NoInputError` naming both ways out where TemplateFlow cannot deliver,
    :class:`UsageError` where a cohort must be chosen, :class:`BadDataError` where images do not
    fit each other. Nothing is replaced silently by something else.
    """
    if space.template == EMBEDDED_TEMPLATE:
        return _embedded(space)
    mask = load_mask(space)
    images = flow.at_resolution(space, flow.template_files(space, "T1w"))
    heads, brains = flow.only(images), flow.only(images, desc="brain")
    if not (heads or brains):
        raise _lacks("T1w image", space, flow.template_files(space, "T1w"))
    brain = _on_grid(flow.fetch(space, (brains or heads)[0]), mask, space)
    if not brains:
        brain = Volume(brain.data * (mask.data > 0), brain.affine)
    return Template(space.template, brain, mask)


def load_head(space: OutputSpace) -> Volume | None:
    """Return the T1w template with skull and scalp, ``None`` where there is none.

    Errors as :func:`load_template`.
    """
    if space.template == EMBEDDED_TEMPLATE:
        return None
    heads = flow.only(flow.at_resolution(space, flow.template_files(space, "T1w")))
    return _on_grid(flow.fetch(space, heads[0]), load_mask(space), space) if heads else None


def load_mask(space: OutputSpace) -> Volume:
    """Return the brain mask of an output space, uint8 of 0 and 1.

    Errors as :func:`load_template`.
    """
    if space.template == EMBEDDED_TEMPLATE:
        return _embedded(space).mask
    files = flow.template_files(space, "mask")
    here = flow.at_resolution(space, files)
    masks = [path for required in _MASKS for path in flow.only(here, **required)]
    if not masks:
        candidates = [path for required in _MASKS for path in flow.only(files, **required)]
        raise _lacks("brain mask", space, candidates)
    file = flow.fetch(space, masks[0])
    volume = read_volume(file)
    inside = volume.data > 0.5
    if not inside.any():
        raise BadDataError(
            f"the brain mask of {space} is empty",
            file=file,
            fix="delete it from TEMPLATEFLOW_HOME and fetch it again",
        )
    return Volume(inside.astype(np.uint8), volume.affine)


def from_nibabel(image: Any, dtype: Any) -> Volume:
    """Return a nibabel image as a volume."""
    return Volume(np.asarray(image.dataobj, dtype=dtype), np.asarray(image.affine, np.float64))


def _embedded(space: OutputSpace) -> Template:
    from bids_xai.templates import embedded

    size = float(space.resolution)
    return Template(
        space.template,
        from_nibabel(embedded.brain(size), np.float32),
        from_nibabel(embedded.brain_mask(size), np.uint8),
    )


def _on_grid(file: Path, mask: Volume, space: OutputSpace) -> Volume:
    volume = read_volume(file)
    what = None
    if volume.data.shape != mask.data.shape:
        what = f"have different shapes, {volume.data.shape} and {mask.data.shape}"
    elif not _same_corners(volume, mask):
        what = "have one shape but different affines"
    if what is not None:
        raise BadDataError(
            f"T1w and brain mask of {space} {what}",
            file=file,
            fix="delete the template from TEMPLATEFLOW_HOME and fetch it again",
        )
    return volume


def _same_corners(first: Volume, other: Volume) -> bool:
    """Whether no corner of two grids of one shape is further apart than ``_AFFINE_MM``."""
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in first.data.shape])).reshape(3, -1)
    apart = (first.affine - other.affine)[:3] @ np.vstack([corners, np.ones(corners.shape[1])])
    return bool(np.abs(apart).max() <= _AFFINE_MM)


def _lacks(what: str, space: OutputSpace, elsewhere: list[Path]) -> Exception:
    resolutions = flow.resolutions(elsewhere)
    there = f" (it has {resolutions})" if resolutions else ""
    return flow.missing(f"TemplateFlow has no {what} of {space}{there}", space)
