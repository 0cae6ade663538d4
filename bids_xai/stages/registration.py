"""Registration by ANTs (antspyx): rigid, affine, and T1w to template.

All functions are deterministic for a seed: one ITK thread and a fixed seed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bids_xai.arrays import Bools, Floats64
from bids_xai.bids.images import Volume
from bids_xai.core.masks import dilate
from bids_xai.errors import BadDataError, UsageError
from bids_xai.stages.ants_tools import LPS, coarsen, scratch_folder, to_ants
from bids_xai.stages.syn import ACCURATE, SynRecipe, register_deformable

LOG = logging.getLogger("bids_xai")

NORMALISATIONS = ("none", "linear", "nonlinear")

Deformable = Callable[..., None]
"""The signature of :func:`bids_xai.stages.syn.register_deformable`."""


def register_linear(
    ants: Any,
    fixed: Volume,
    moving: Volume,
    output: Path,
    *,
    kind: str,
    fixed_mask: Bools,
    initial: Path | None = None,
    seed: int = 0,
) -> Path:
    """Estimate a ``Rigid`` or ``Affine`` transform by mutual information within the mask.

    initial : a transform file to start from; the headers are believed where it is ``None``.
    Returns ``output`` (ITK text or ``.mat`` file) for use with
    ``apply_transforms(fixed, moving, [output])``.
    """
    shapes = fixed.data.shape, moving.data.shape
    LOG.debug("ANTs %s, voxels %s and %s, seed %d", kind, *shapes, seed)
    with scratch_folder() as folder:
        if initial is None:
            initial = folder / "identity.mat"
            identity = ants.create_ants_transform(transform_type="AffineTransform", dimension=3)
            ants.write_transform(identity, str(initial))
        fixed_image = to_ants(ants, fixed)
        result = ants.registration(
            fixed_image,
            to_ants(ants, moving),
            kind,
            initial_transform=str(initial),
            outprefix=str(folder / "linear_"),
            mask=fixed_image.new_image_like(fixed_mask.astype(np.float32)),
            mask_all_stages=True,
            aff_iterations=(500, 250, 100, 0),
            aff_shrink_factors=(4, 3, 2, 1),
            aff_smoothing_sigmas=(3, 2, 1, 0),
            random_seed=seed + 1,
        )
        ants.write_transform(ants.read_transform(result["fwdtransforms"][0]), str(output))
    return output


def invert_linear(ants: Any, transform: Path, output: Path) -> Path:
    """Write the inverse of a linear transform file."""
    ants.write_transform(ants.read_transform(str(transform)).invert(), str(output))
    return output


def align_centres(
    ants: Any, fixed: Volume, moving: Volume, output: Path, *, masks: bool = False
) -> Path:
    """Write the translation (``.mat``, ``.txt`` or ``.h5``) between two centres.

    masks : the centres of what is above 0 in both, otherwise those of the grids: resampling then
        only crops and pads (and interpolates, where the voxels differ)
    """
    shift = (_centre_mm(moving, masks) - _centre_mm(fixed, masks)) @ LPS
    transform = ants.create_ants_transform(
        transform_type="AffineTransform", dimension=3, translation=tuple(shift)
    )
    ants.write_transform(transform, str(output))
    return output


def _reach(ants: Any, mask: Volume) -> Bools:
    """Return what lies within 8 mm of a mask, on the grid of its coarsened image."""
    small = coarsen(ants, Volume((mask.data > 0).astype(np.float32), mask.affine))
    return dilate(small.data > 0.5, 8.0, small.voxel_mm)


def _centre_mm(volume: Volume, mask: bool) -> Floats64:
    if mask and not np.any(volume.data > 0):
        raise BadDataError("a mask is empty", fix="check the brain mask of this scan")
    shape = np.array(volume.data.shape)
    index = np.argwhere(volume.data > 0).mean(0) if mask else (shape - 1) / 2
    return np.asarray(volume.affine[:3, :3] @ index + volume.affine[:3, 3])


def register_to_template(
    ants: Any,
    template: Volume,
    template_mask: Volume,
    brain: Volume,
    brain_mask: Volume,
    *,
    method: str,
    forward: Path,
    inverse: Path,
    recipe: SynRecipe | None = None,
    deformable: Deformable | None = None,
    seed: int = 0,
) -> None:
    """Write the transforms T1w → template (``forward``) and back (``inverse``), ``.h5`` each.

    template, template_mask : brain-only image and mask on one grid
    brain, brain_mask : bias-corrected T1w image, with or without its skull, and mask on one grid
    method : ``none`` puts the centre of the T1w grid onto that of the template's; ``linear`` is
        affine; ``nonlinear`` is affine and SyN (klingenberg2021 compares the three)
    recipe : of SyN, :data:`ACCURATE` by default
    deformable : :func:`register_deformable` or ``greedy_tools.register_deformable``

    Raises :class:`UsageError` for another method, :class:`BadDataError` for an empty mask.
    """
    if method not in NORMALISATIONS:
        raise UsageError(f"no normalisation {method!r}", fix=f"one of {', '.join(NORMALISATIONS)}")
    if method == "none":
        invert_linear(ants, align_centres(ants, template, brain, forward), inverse)
        return
    inside = template_mask.data > 0
    stripped = coarsen(ants, Volume(brain.data * (brain_mask.data > 0), brain.affine))
    with scratch_folder() as folder:
        start = align_centres(ants, template_mask, brain_mask, folder / "start.mat", masks=True)
        affine = register_linear(
            ants,
            coarsen(ants, template),
            stripped,
            folder / "affine.mat",
            kind="Affine",
            initial=start,
            fixed_mask=_reach(ants, template_mask),
            seed=seed,
        )
        if method == "linear":
            ants.write_transform(ants.read_transform(str(affine)), str(forward))
            invert_linear(ants, affine, inverse)
            return
        (deformable or register_deformable)(
            ants,
            template,
            stripped,
            forward=forward,
            inverse=inverse,
            fixed_mask=inside,
            recipe=recipe or ACCURATE,
            initial=affine,
            seed=seed,
        )
