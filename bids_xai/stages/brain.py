"""Bias correction and brain mask of a T1w head, without weights and without FSL."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bids_xai.arrays import Bools, Floats64
from bids_xai.bids.images import Volume
from bids_xai.core.masks import add_rim, dilate, foreground, refine_brain_mask
from bids_xai.stages import ants_tools, registration, syn
from bids_xai.stages.ants_tools import to_ants
from bids_xai.templates.lookup import Template

_WORK_MM = ants_tools.WORK_MM  # masks are found on a grid of this size; finer adds nothing
_GROWTHS = 2  # each lets a prior that is too small grow by up to 3 mm of tissue
_SCALP_AND_SKULL_MM = 12.0
_BIAS_FIELD_MM = 6.0  # the field is smooth: N4 sees the image at about this voxel size


@dataclass(frozen=True)
class BrainExtraction:
    """``corrected`` T1w on its own grid and the brain ``mask`` (x, y, z) there."""

    corrected: Volume
    mask: Bools


def extract_brain(
    t1w: Volume, template: Template, *, seed: int = 0, sloppy: bool = False, rim_mm: float = 2.0
) -> BrainExtraction:
    """Return the bias-corrected T1w image and its brain mask.

    template : a brain-only template with its mask.
    rim_mm : how far partial-volume cortex and fluid around the tissue count as brain; 0 gives a
        mask tight around the tissue

    The head is found by intensity, its top aligned with the top of the template; affine and SyN
    registration (metric within the dilated template brain) carry the template mask over, and it
    grows into the tissue it hangs together with (:func:`refine_brain_mask`). What was found is
    registered again, now without skull, and the better prior refined; ``sloppy`` leaves the
    second pass out.

    Raises :class:`BadDataError` for images without contrast or without a brain.
    """
    ants = ants_tools.ants_module(seed)
    corrected = _correct_bias(ants, t1w, sloppy=sloppy)
    work = ants_tools.coarsen(ants, corrected)
    prior = _warped_prior(ants, work, template, seed=seed, sloppy=sloppy)
    coarse = refine_brain_mask(work.data, prior, work.voxel_mm)
    if not sloppy:
        for _ in range(_GROWTHS):
            coarse = refine_brain_mask(work.data, coarse, work.voxel_mm)
        second = _second_prior(ants, work, coarse, template, seed=seed)
        coarse = refine_brain_mask(work.data, second, work.voxel_mm)
    coarse = add_rim(work.data, coarse, work.voxel_mm, rim_mm)
    mask = ants_tools.resample(ants, Volume(coarse.astype(np.float32), work.affine), corrected, [])
    return BrainExtraction(corrected, mask > 0.5)


def correct_bias(image: Volume, *, seed: int = 0) -> Volume:
    """Return the image divided by its N4 bias field, on its own grid.

    Raises :class:`BadDataError` for an image without contrast.
    """
    return _correct_bias(ants_tools.ants_module(seed), image)


def _correct_bias(ants: Any, t1w: Volume, *, sloppy: bool = False) -> Volume:
    finite = np.nan_to_num(t1w.data, nan=0.0, posinf=0.0, neginf=0.0)
    head = foreground(finite)
    image = to_ants(ants, Volume(np.clip(finite, 0, None), t1w.affine))
    shrink = max(1, round(_BIAS_FIELD_MM / min(t1w.voxel_mm)))
    field = ants.n4_bias_field_correction(
        image,
        mask=image.new_image_like(head.astype(np.float32)),
        shrink_factor=shrink,
        convergence={"iters": [20, 10] if sloppy else [40, 30, 20], "tol": 1e-5},
        return_bias_field=True,
    ).numpy()
    safe = np.where(np.isfinite(field) & (field > 1e-3), field, 1.0)
    return Volume(np.asarray(image.numpy() / safe, dtype=np.float32), t1w.affine)


def _warped_prior(ants: Any, head: Volume, template: Template, *, seed: int, sloppy: bool) -> Bools:
    with tempfile.TemporaryDirectory(prefix="bids_xai-") as name:
        folder = Path(name)
        start = _top_aligned(ants, head, template, folder / "start.mat")
        reach = dilate(template.mask.data > 0, 6.0, template.brain.voxel_mm)
        affine = registration.register_linear(
            ants,
            template.brain,
            head,
            folder / "affine.mat",
            kind="Affine",
            fixed_mask=reach,
            initial=start,
            seed=seed,
        )
        transforms: list[Path] = [affine]
        invert = [True]
        if not sloppy:
            syn.register_deformable(
                ants,
                template.brain,
                head,
                forward=folder / "f.h5",
                inverse=folder / "i.h5",
                fixed_mask=template.mask.data > 0,
                recipe=syn.ROUGH,
                initial=affine,
                seed=seed,
            )
            transforms, invert = [folder / "i.h5"], [False]
        warped = ants_tools.resample(ants, template.mask, head, transforms, invert=invert)
    return warped > 0.5


def _second_prior(
    ants: Any, head: Volume, first_mask: Bools, template: Template, *, seed: int
) -> Bools:
    """Return the template mask brought to the head by registering the brain found so far."""
    mask = Volume(first_mask.astype(np.float32), head.affine)
    with tempfile.TemporaryDirectory(prefix="bids_xai-") as name:
        inverse = Path(name) / "inverse.h5"
        registration.register_to_template(
            ants,
            template.brain,
            template.mask,
            head,
            mask,
            method="nonlinear",
            forward=Path(name) / "forward.h5",
            inverse=inverse,
            recipe=syn.SECOND_PRIOR,
            seed=seed,
        )
        return ants_tools.resample(ants, template.mask, head, [inverse]) > 0.5


def _top_aligned(ants: Any, head: Volume, template: Template, output: Path) -> Path:
    """Write the translation that puts the top of the head onto the top of the template.

    The neck makes the centre of mass useless; the top of the head is in every head scan.
    """
    points = _points_mm(foreground(head.data), head.affine)
    brain = _points_mm(template.mask.data > 0, template.brain.affine)
    top = np.quantile(points[:, 2], 0.9995)
    upper = points[points[:, 2] > top - 150.0]
    shift = (upper.min(0) + upper.max(0) - brain.min(0) - brain.max(0)) / 2
    shift[2] = top - _SCALP_AND_SKULL_MM - brain[:, 2].max()
    lps = shift * np.array([-1.0, -1.0, 1.0])
    transform = ants.create_ants_transform(
        transform_type="AffineTransform", dimension=3, translation=tuple(lps)
    )
    ants.write_transform(transform, str(output))
    return output


def _points_mm(mask: Bools, affine: Floats64) -> Floats64:
    return np.asarray(np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3])
