"""The bias field of a head: N4, and what is left of a coil's sensitivity after it."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from bids_xai.arrays import Bools, Floats32
from bids_xai.bids.images import Volume
from bids_xai.core.masks import foreground
from bids_xai.stages import ants_tools
from bids_xai.stages.ants_tools import to_ants

_BIAS_FIELD_MM = 6.0  # the field is smooth: N4 sees the image at about this voxel size
_STRONG_SPLINE_MM = 100.0
_CLIPPED_AT = 2.0
_LOCAL_MM, _LEAST_NEAR = 25.0, 0.02


def correct_bias(image: Volume, *, seed: int = 0) -> Volume:
    """Return the image divided by its N4 bias field, on its own grid.

    Raises :class:`BadDataError` for an image without contrast.
    """
    return n4_corrected(ants_tools.ants_module(seed), image)


def n4_corrected(ants: Any, t1w: Volume, *, sloppy: bool = False) -> Volume:
    finite = np.nan_to_num(t1w.data, nan=0.0, posinf=0.0, neginf=0.0)
    image = Volume(np.clip(finite, 0, None), t1w.affine)
    field = _bias_field(ants, image, foreground(finite), sloppy=sloppy)
    return Volume(np.asarray(image.data / field, dtype=np.float32), t1w.affine)


def _bias_field(
    ants: Any, image: Volume, mask: Bools, *, sloppy: bool = False, spline_mm: float | None = None
) -> Floats32:
    """The field of N4 within a mask; 1 where it is not usable. spline_mm : distance of knots."""
    moving = to_ants(ants, image)
    knots = {} if spline_mm is None else {"spline_param": spline_mm}
    field = ants.n4_bias_field_correction(
        moving,
        mask=moving.new_image_like(mask.astype(np.float32)),
        shrink_factor=max(1, round(_BIAS_FIELD_MM / min(image.voxel_mm))),
        convergence={"iters": [20, 10] if sloppy else [40, 30, 20], "tol": 1e-5},
        return_bias_field=True,
        **knots,
    ).numpy()
    return np.where(np.isfinite(field) & (field > 1e-3), field, np.float32(1.0))


def without_coil(ants: Any, t1w: Volume) -> Volume:
    """The head at the working size, each voxel relative to the mean of the head about it.

    For a head in which N4 leaves much of a coil's sensitivity. Contrast within some centimetres
    stays, which is enough to find the brain; it is no image to measure in.
    """
    finite = np.clip(np.nan_to_num(t1w.data, nan=0.0, posinf=0.0, neginf=0.0), 0, None)
    head = Volume(finite.astype(np.float32), t1w.affine)
    for _ in range(2):
        inside = foreground(head.data)
        clipped = _clipped(head, inside)
        field = _bias_field(ants, clipped, inside, spline_mm=_STRONG_SPLINE_MM)
        head = Volume((head.data / field).astype(np.float32), head.affine)
    work = ants_tools.coarsen(ants, head)
    inside = foreground(work.data).astype(np.float32)
    sigma = [_LOCAL_MM / edge for edge in work.voxel_mm]
    near = ndimage.gaussian_filter(inside, sigma)
    mean = ndimage.gaussian_filter(work.data * inside, sigma) / np.maximum(near, 1e-3)
    relative = np.where((mean > 0) & (near > _LEAST_NEAR), work.data / np.maximum(mean, 1e-6), 0)
    return Volume(relative.astype(np.float32), work.affine)


def _clipped(head: Volume, inside: Bools) -> Volume:
    """The image with bright scalp cut at twice the median of the head."""
    most = _CLIPPED_AT * np.median(head.data[inside])
    return Volume(np.minimum(head.data, most).astype(np.float32), head.affine)


def corrected_around(ants: Any, t1w: Volume, brain: Volume) -> Volume:
    """The image divided by a bias field that is estimated in the brain and near it."""
    finite = np.clip(np.nan_to_num(t1w.data, nan=0.0, posinf=0.0, neginf=0.0), 0, None)
    image = Volume(finite.astype(np.float32), t1w.affine)
    mask = ants_tools.resample(ants, brain, image, []) > 0.5
    for _ in range(2):
        field = _bias_field(ants, image, mask, spline_mm=_STRONG_SPLINE_MM)
        low, high = np.percentile(field[mask], [1, 99])
        field = np.clip(field, low, high)  # outside of the brain it is extrapolated
        image = Volume((image.data / field).astype(np.float32), t1w.affine)
    return image
