"""Filling lesions in a T1w image with the intensity of the white matter around them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_xai.arrays import Bools, Floats32
from bids_xai.core.masks import dilate

_BINS = 128
_RIM_MM = 1.0  # partial volume around a lesion is no normal-appearing white matter
_LOCAL_MM = 8.0  # standard deviation of the weights of the local mean
_FURTHEST_MM = 24.0


@dataclass(frozen=True)
class FilledImage:
    """``data`` (x, y, z) with lesions filled; their volume in ml; how many voxels were filled.

    Lesion voxels without white matter within 24 mm, and those outside the brain, stay as they are.
    """

    data: Floats32
    volume_ml: float
    n_filled: int


def fill_lesions(
    image: NDArray[Any], lesions: Bools, brain: Bools, voxel_mm: tuple[float, ...]
) -> FilledImage:
    """Replace lesion voxels by the local mean of normal-appearing white matter.

    image : (x, y, z) T1w intensities, bias-corrected, white matter brightest
    lesions, brain : (x, y, z) masks; voxel_mm : edge lengths
    White matter is the brightest of three classes of the brain's intensities (thresholds that
    maximise the variance between classes), 1 mm away from any lesion. The mean is weighted by a
    Gaussian of 8 mm standard deviation, cut off at 24 mm.

    Source: the idea of Valverde et al. 2014 (doi:10.1016/j.nicl.2014.08.016), with a weighted
    local mean in place of random numbers by slice.
    """
    data = np.array(image, dtype=np.float32)
    volume_ml = float(lesions.sum() * np.prod(voxel_mm) / 1000)
    lesions_in_brain = lesions & brain
    healthy = brain & np.isfinite(data) & ~dilate(lesions, _RIM_MM, voxel_mm)
    if not lesions_in_brain.any() or not healthy.any():
        return FilledImage(data, round(volume_ml, 3), 0)
    white = healthy & (np.nan_to_num(data) > brightest_of_three(data[healthy]))
    near = _around(lesions_in_brain, voxel_mm)
    mean, weight = _local_mean(data[near], white[near], voxel_mm)
    target = lesions_in_brain[near] & (weight > 0)
    part = data[near]
    part[target] = mean[target]
    return FilledImage(data, round(volume_ml, 3), int(target.sum()))


def brightest_of_three(values: NDArray[Any]) -> float:
    """Return the upper of the two thresholds that best part values (n,) into three classes.

    Otsu's criterion, the variance between classes, over all pairs of 128 levels between the 1st
    and the 99th percentile.
    """
    low, high = np.percentile(values, [1, 99])
    if not high > low:
        return float(low)
    counts, edges = np.histogram(np.clip(values, low, high), bins=_BINS)
    centres = 0.5 * (edges[1:] + edges[:-1])
    weight = np.concatenate([[0.0], np.cumsum(counts)])
    moment = np.concatenate([[0.0], np.cumsum(counts * centres)])
    first, second = np.triu_indices(_BINS - 1, 1)
    score = np.zeros(first.size)
    for start, stop in ((0, first + 1), (first + 1, second + 1), (second + 1, _BINS)):
        n = weight[stop] - weight[start]
        total = moment[stop] - moment[start]
        score += np.divide(total * total, n, out=np.zeros_like(score), where=n > 0)
    return float(edges[second[np.argmax(score)] + 1])


def _around(mask: Bools, voxel_mm: tuple[float, ...]) -> tuple[slice, ...]:
    """The box that holds the mask and all within reach of it."""
    margin = [int(np.ceil(_FURTHEST_MM / edge)) + 1 for edge in voxel_mm]
    (box,) = ndimage.find_objects(mask.astype(np.int8))
    return tuple(
        slice(max(part.start - m, 0), part.stop + m) for part, m in zip(box, margin, strict=True)
    )


def _local_mean(
    data: Floats32, white: Bools, voxel_mm: tuple[float, ...]
) -> tuple[Floats32, Floats32]:
    """Gaussian-weighted mean of the white matter around every voxel, and the sum of weights."""
    width = [_LOCAL_MM / edge for edge in voxel_mm]
    smooth = {"sigma": width, "mode": "constant", "truncate": _FURTHEST_MM / _LOCAL_MM}
    weight = ndimage.gaussian_filter(white.astype(np.float32), **smooth)
    total = ndimage.gaussian_filter(np.where(white, data, 0).astype(np.float32), **smooth)
    enough = weight > 1e-6
    mean = np.divide(total, weight, out=np.zeros_like(total), where=enough)
    return mean, np.where(enough, weight, 0).astype(np.float32)
