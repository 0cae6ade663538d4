"""Bias correction and brain mask of a T1w head, without weights and without FSL."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.bids.images import Volume
from bids_xai.core.masks import dilate, foreground, refine_brain_mask
from bids_xai.interfaces import ants_tools
from bids_xai.interfaces.ants_tools import to_ants
from bids_xai.templates.lookup import Template

_WORK_MM = 2.0  # masks are found on a grid of this size; finer grids cost time and add nothing
_SCALP_AND_SKULL_MM = 12.0
_BIAS_FIELD_MM = 6.0  # the field is smooth: N4 sees the image at about this voxel size


@dataclass(frozen=True)
class BrainExtraction:
    """``corrected`` T1w on its own grid and the brain ``mask`` (x, y, z) there."""

    corrected: Volume
    mask: NDArray[np.bool_]


def extract_brain(
    t1w: Volume, template: Template, *, seed: int = 0, sloppy: bool = False
) -> BrainExtraction:
    """Return the bias-corrected T1w image and its brain mask.

    template : a brain-only template with its mask.
    The head is found by intensity, its top aligned with the top of the template; affine and SyN
    registration (metric within the dilated template brain) carry the template mask over; the
    tissue next to its edge decides the rest (:func:`refine_brain_mask`).

    Raises :class:`BadDataError` for images without contrast or without a brain.
    """
    ants = ants_tools.ants_module(seed)
    corrected = _correct_bias(ants, t1w)
    work = _coarse(ants, corrected)
    prior = _warped_prior(ants, work, template, seed=seed, sloppy=sloppy)
    coarse = refine_brain_mask(work.data, prior, work.voxel_mm)
    mask = ants_tools.resample(ants, Volume(coarse.astype(np.float32), work.affine), corrected, [])
    return BrainExtraction(corrected, mask > 0.5)


def _correct_bias(ants: Any, t1w: Volume) -> Volume:
    head = foreground(t1w.data)
    image = to_ants(ants, Volume(np.clip(np.nan_to_num(t1w.data), 0, None), t1w.affine))
    shrink = max(1, round(_BIAS_FIELD_MM / min(t1w.voxel_mm)))
    field = ants.n4_bias_field_correction(
        image,
        mask=image.new_image_like(head.astype(np.float32)),
        shrink_factor=shrink,
        convergence={"iters": [40, 30, 20], "tol": 1e-5},
        return_bias_field=True,
    ).numpy()
    safe = np.where(np.isfinite(field) & (field > 1e-3), field, 1.0)
    return Volume(np.asarray(image.numpy() / safe, dtype=np.float32), t1w.affine)


def _coarse(ants: Any, volume: Volume) -> Volume:
    """Return the volume on a grid of 2 mm where it is finer (box-averaged by the resampling)."""
    voxel = volume.voxel_mm
    target = tuple(max(_WORK_MM, v) for v in voxel)
    if np.allclose(voxel, target, rtol=0.2):
        return volume
    image = ants.smooth_image(
        to_ants(ants, volume),
        [0.4 * t if t > v else 0.0 for v, t in zip(voxel, target, strict=True)],
    )
    small = ants.resample_image(image, target, False, 0)
    affine = np.eye(4)
    lps = np.diag([-1.0, -1.0, 1.0])
    affine[:3, :3] = lps @ np.asarray(small.direction) @ np.diag(small.spacing)
    affine[:3, 3] = lps @ np.asarray(small.origin)
    return Volume(np.asarray(small.numpy(), dtype=np.float32), affine)


def _warped_prior(
    ants: Any, head: Volume, template: Template, *, seed: int, sloppy: bool
) -> NDArray[np.bool_]:
    with tempfile.TemporaryDirectory(prefix="bids_xai-") as name:
        folder = Path(name)
        start = _top_aligned(ants, head, template, folder / "start.mat")
        reach = dilate(template.mask.data > 0, 6.0, template.brain.voxel_mm)
        affine = ants_tools.register_linear(
            ants, template.brain, head, folder / "affine.mat", kind="Affine", fixed_mask=reach,
            initial=start, seed=seed,
        )  # fmt: skip
        transforms: list[Path] = [affine]
        invert = [True]
        if not sloppy:
            ants_tools.register_deformable(
                ants, template.brain, head, forward=folder / "f.h5", inverse=folder / "i.h5",
                fixed_mask=template.mask.data > 0, recipe=ants_tools.ROUGH,
                initial=affine, seed=seed,
            )  # fmt: skip
            transforms, invert = [folder / "i.h5"], [False]
        warped = ants_tools.resample(ants, template.mask, head, transforms, invert=invert)
    return warped > 0.5


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


def _points_mm(mask: NDArray[np.bool_], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3])
