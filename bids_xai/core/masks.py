"""Brain masks from a warped prior and the intensities of the T1w image. Arrays only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_xai.arrays import Bools, Floats32
from bids_xai.errors import BadDataError

_TOLERANCE_MM = 1e-3  # affines come out of float32 headers: 1 mm may read 1.0000001


def ball(radius_mm: float, voxel_mm: tuple[float, ...]) -> Bools:
    """Return a ball-shaped structuring element of the given radius on an anisotropic grid."""
    half = [max(int(np.floor(radius_mm / v + 1e-6)), 0) for v in voxel_mm]
    grids = np.ogrid[tuple(slice(-h, h + 1) for h in half)]
    distance = sum((g * v) ** 2 for g, v in zip(grids, voxel_mm, strict=True))
    return np.asarray(distance <= radius_mm**2 + 1e-6)


def dilate(mask: Bools, radius_mm: float, voxel_mm: tuple[float, ...]) -> Bools:
    """Return every voxel within ``radius_mm`` of the mask (Euclidean distance, to 1 µm)."""
    if not mask.any():
        return mask.copy()
    grown = np.zeros_like(mask)
    near = _box(mask, radius_mm + max(voxel_mm), voxel_mm)
    grown[near] = _within(mask[near], radius_mm + _TOLERANCE_MM, voxel_mm)
    return grown


def erode(mask: Bools, radius_mm: float, voxel_mm: tuple[float, ...]) -> Bools:
    """Return the voxels farther than ``radius_mm`` from everything outside the mask.

    What lies beyond the image does not count as outside.
    """
    if mask.all() or not mask.any():
        return mask.copy()
    shrunk = np.zeros_like(mask)
    near = _box(mask, radius_mm + max(voxel_mm), voxel_mm)
    shrunk[near] = ~_within(~mask[near], radius_mm + _TOLERANCE_MM, voxel_mm)
    return shrunk


def _within(mask: Bools, radius_mm: float, voxel_mm: tuple[float, ...]) -> Bools:
    """Return the voxels within a distance of the mask.

    Balls are laid column by column: the columns of one length together, as shifts of the mask
    grown along the last axis, along which eight voxels are packed into a byte. From some 4000
    columns on a distance transform is cheaper.
    """
    columns = (ball(radius_mm, voxel_mm).sum(axis=-1) + 1) // 2 - 1  # half lengths, -1: none
    if columns.size > 4000:
        return np.asarray(ndimage.distance_transform_edt(~mask, sampling=voxel_mm) <= radius_mm)
    grown = mask.copy()
    result = np.zeros_like(np.packbits(mask, axis=-1))
    for half in range(int(columns.max()) + 1):
        if half:
            grown[..., half:] |= mask[..., :-half]
            grown[..., :-half] |= mask[..., half:]
        packed = np.packbits(grown, axis=-1)
        for offset in np.argwhere(columns == half) - np.array(columns.shape) // 2:
            result[_overlap(offset, mask.shape)] |= packed[_overlap(-offset, mask.shape)]
    return np.unpackbits(result, axis=-1, count=mask.shape[-1]).view(bool)


def _overlap(offset: NDArray[np.intp], shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The part of an array onto which its own copy, moved by an offset, falls."""
    pairs = zip(offset.tolist(), shape, strict=False)
    return tuple(slice(max(o, 0), max(n + min(o, 0), 0)) for o, n in pairs)


def largest_component(mask: Bools) -> Bools:
    """Return the largest 6-connected component (all false where the mask is empty)."""
    labels, count = ndimage.label(mask)
    if count <= 1:
        return mask.copy()
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())


def foreground(image: NDArray[Any]) -> Bools:
    """Return the head: the largest piece above a threshold, its holes filled.

    The threshold is the mean of Otsu's (of the values clipped to the 1st and the 99.5th
    percentile) and the 1st percentile. Raises :class:`BadDataError` for an image without contrast.
    """
    finite = np.nan_to_num(np.asarray(image, dtype=np.float32))
    bright = finite > _foreground_threshold(finite)
    return np.asarray(ndimage.binary_fill_holes(largest_component(bright)))


def _foreground_threshold(finite: Floats32) -> float:
    low, high = np.percentile(finite, [1, 99.5])
    if not high > low:
        raise BadDataError("the image has no contrast", fix="check the file; it may be empty")
    return float(_otsu(np.clip(finite, low, high)) * 0.5 + low * 0.5)


def _otsu(values: Floats32) -> float:
    counts, edges = np.histogram(values, bins=256)
    centres = 0.5 * (edges[1:] + edges[:-1])
    weight = np.cumsum(counts).astype(np.float64)
    moment = np.cumsum(counts * centres)
    rest = weight[-1] - weight
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (moment[-1] * weight / weight[-1] - moment) ** 2 / (weight * rest)
    return float(centres[np.nanargmax(np.where(np.isfinite(between), between, np.nan))])


def refine_brain_mask(image: NDArray[Any], prior: Bools, voxel_mm: tuple[float, ...]) -> Bools:
    """Adjust a warped template mask to the tissue of this brain.

    image : (x, y, z) bias-corrected T1w intensities
    prior : (x, y, z) the template's brain mask warped onto the image
    voxel_mm : edge lengths of a voxel

    Tissue is what is brighter than 45 % of the median inside the prior. It may leave the prior
    by at most 3 mm where it hangs together with the brain over more than a 2 mm bridge, and the
    prior may lose at most 4 mm where there is none; sulci are closed over 5 mm.

    Raises :class:`BadDataError` where the prior misses the head.
    """
    level = _tissue_level(image, erode(prior, 4.0, voxel_mm))
    near = _box(prior, 3.0 + 5.0 + 5.0 + max(voxel_mm), voxel_mm)  # nothing below looks further
    refined = np.zeros_like(prior)
    refined[near] = _refined(np.asarray(image)[near] > 0.45 * level, prior[near], voxel_mm)
    return refined


def _refined(bright: Bools, prior: Bools, voxel_mm: tuple[float, ...]) -> Bools:
    core = erode(prior, 4.0, voxel_mm)
    reach = dilate(prior, 3.0, voxel_mm)
    tissue = bright & reach
    opened = dilate(erode(tissue | core, 2.0, voxel_mm), 2.0, voxel_mm) & tissue
    brain = largest_component(opened | core)
    closed = erode(dilate(brain, 5.0, voxel_mm), 5.0, voxel_mm)
    return largest_component(np.asarray(ndimage.binary_fill_holes((closed | brain) & reach)))


def _box(mask: Bools, margin_mm: float, voxel_mm: tuple[float, ...]) -> tuple[slice, ...]:
    """The part of the grid that holds the mask and everything within a margin of it."""
    slices = []
    for axis, edge in enumerate(voxel_mm):
        inside = np.flatnonzero(mask.any(axis=tuple(k for k in range(mask.ndim) if k != axis)))
        margin = int(np.ceil(margin_mm / edge))
        slices.append(slice(max(inside[0] - margin, 0), inside[-1] + margin + 1))
    return tuple(slices)


def add_rim(image: NDArray[Any], brain: Bools, voxel_mm: tuple[float, ...], rim_mm: float) -> Bools:
    """Return the brain with the partial-volume cortex and fluid around it.

    image : (x, y, z) bias-corrected T1w intensities; brain : (x, y, z) mask of the tissue
    rim_mm : how far the rim may reach

    The rim is brighter than 30 % of the median of the brain 4 mm below its surface: fluid and
    voxels partly filled with cortex are, bone and air are not. Masks that were drawn by hand or
    by a network hold this rim, masks of tissue do not. Raises as :func:`refine_brain_mask`.
    """
    level = _tissue_level(image, erode(brain, 4.0, voxel_mm))
    bright = np.asarray(image) > 0.30 * level
    return np.asarray(brain | (bright & dilate(brain, rim_mm, voxel_mm)))


def _tissue_level(image: NDArray[Any], core: Bools) -> float:
    """Return the median inside the core, which must be positive and mostly foreground."""
    if core.any():
        finite = np.nan_to_num(np.asarray(image, dtype=np.float32))
        level = float(np.median(finite[core]))
        if level > max(0.0, _foreground_threshold(finite)):
            return level
    raise BadDataError(
        "no brain found: the template does not overlap the image",
        fix="check that the T1w image covers the whole head and that its orientation is correct",
    )


def dice(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return 2·|A∩B| / (|A| + |B|) of two masks, NaN where both are empty."""
    a, b = np.asarray(first) > 0, np.asarray(second) > 0
    total = int(a.sum()) + int(b.sum())
    return 2.0 * int((a & b).sum()) / total if total else float("nan")
