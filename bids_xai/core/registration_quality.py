"""How well two images lie on each other, and how smooth the way there is. Arrays only."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_xai.arrays import Bools, Floats

_CLIP_PERCENTILES = (0.5, 99.5)
_TRUNCATE_SDS = 4.0  # of a Gaussian


def correlation(first: Floats, second: Floats, mask: Bools) -> float:
    """Return Pearson's r of two images (x, y, z) within a mask.

    NaN where the mask holds fewer than two finite pairs, or an image is constant there.
    """
    a, b = _pairs(first, second, mask)
    if a.size < 2 or not (np.ptp(a) > 0 and np.ptp(b) > 0):
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def covered(mask: NDArray[Any], target: NDArray[Any]) -> float:
    """Return the fraction of ``target`` (> 0) where ``mask`` is > 0 too; NaN where it is empty."""
    inside = np.asarray(target) > 0
    return float((np.asarray(mask)[inside] > 0).mean()) if inside.any() else float("nan")


def normalised_mutual_information(
    first: Floats, second: Floats, mask: Bools, bins: int = 32
) -> float:
    r"""Return :math:`(H(A) + H(B)) / H(A, B)` within a mask: 1 independent, 2 one-to-one.

    first, second : (x, y, z); values are clipped to the 0.5 and 99.5 percentile, then binned

    After Studholme et al. 1999 (doi:10.1016/S0031-3203(98)00091-0). The estimate lies above 1
    for independent images of few voxels. NaN where the mask is empty or an image constant there.
    """
    a, b = _pairs(first, second, mask)
    if a.size < 2 or not (np.ptp(a) > 0 and np.ptp(b) > 0):
        return float("nan")
    joint, _, _ = np.histogram2d(_clipped(a), _clipped(b), bins=bins)
    both = _entropy(joint)
    return (_entropy(joint.sum(0)) + _entropy(joint.sum(1))) / both if both > 0 else float("nan")


def edge_alignment(
    first: Floats, second: Floats, mask: Bools, voxel_mm: tuple[float, ...], width_mm: float = 2.0
) -> float:
    """Return the mean squared cosine between the gradients of two images at the edges of both.

    first, second : (x, y, z); gradients of Gaussians of sd ``width_mm`` / 2
    mask : where to look; the tenth of its voxels with the largest product of gradients counts

    1 where edges lie on each other whatever their sign, so that contrasts may differ; 1/3 for
    random directions (normalised gradient fields, Haber & Modersitzki 2006,
    doi:10.1007/11866763_89). NaN where there are no edges.
    """
    near = _neighbourhood(mask, voxel_mm, width_mm / 2)
    a, b = (
        _gradient(image[near], voxel_mm, width_mm / 2)[:, mask[near]]
        for image in (np.asarray(first), np.asarray(second))
    )
    strength = np.sqrt((a**2).sum(0) * (b**2).sum(0))
    if not strength.size or not strength.max() > 0:
        return float("nan")
    edges = strength >= max(np.quantile(strength, 0.9), np.finfo(float).tiny)
    cosine = (a[:, edges] * b[:, edges]).sum(0) / strength[edges]
    return float((cosine**2).mean())


class Smoothness(NamedTuple):
    """``folded``: fraction of voxels with a Jacobian ≤ 0; ``sd_log``: sd of the log Jacobian."""

    folded: float
    sd_log: float


def jacobian(displacement_mm: Floats, affine: Floats) -> Floats:
    """Return the determinant (x, y, z) of the derivative of ``p + displacement(p)``.

    displacement_mm : (x, y, z, 3) in the world of ``affine`` (4, 4); one-sided at the border
    """
    index = np.stack([np.stack(np.gradient(displacement_mm[..., k]), -1) for k in range(3)], -2)
    derivative = index @ np.linalg.inv(np.asarray(affine, dtype=np.float64)[:3, :3])
    return np.asarray(np.linalg.det(np.eye(3) + derivative))


def smoothness(determinants: Floats, mask: Bools) -> Smoothness:
    """Return how a field folds and how unevenly it stretches within a mask.

    determinants : (x, y, z) of :func:`jacobian`; those ≤ 0 have no logarithm and only count as
        folded. NaN where nothing is left.
    """
    inside = np.asarray(determinants)[mask]
    if not inside.size:
        return Smoothness(float("nan"), float("nan"))
    positive = inside[inside > 0]
    spread = float(np.log(positive).std()) if positive.size else float("nan")
    return Smoothness(float((inside <= 0).mean()), spread)


def _pairs(first: Floats, second: Floats, mask: Bools) -> tuple[Floats, Floats]:
    a = np.asarray(first, dtype=np.float64)[mask]
    b = np.asarray(second, dtype=np.float64)[mask]
    good = np.isfinite(a) & np.isfinite(b)
    return a[good], b[good]


def _clipped(values: Floats) -> Floats:
    low, high = np.percentile(values, _CLIP_PERCENTILES)
    return np.clip(values, low, high) if high > low else values


def _entropy(counts: Floats) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def _neighbourhood(mask: Bools, voxel_mm: tuple[float, ...], sd_mm: float) -> tuple[slice, ...]:
    """The box of all voxels on which a gradient of Gaussians within the mask depends."""
    slices = []
    for axis, edge in enumerate(voxel_mm):
        inside = np.flatnonzero(mask.any(axis=tuple(k for k in range(mask.ndim) if k != axis)))
        margin = int(np.ceil(_TRUNCATE_SDS * sd_mm / edge)) + 2
        first, last = (int(inside[0]), int(inside[-1])) if inside.size else (0, 0)
        slices.append(slice(max(first - margin, 0), last + margin + 1))
    return tuple(slices)


def _gradient(image: Floats, voxel_mm: tuple[float, ...], sd_mm: float) -> Floats:
    finite = np.nan_to_num(np.asarray(image, dtype=np.float64))
    sds = [sd_mm / v for v in voxel_mm]
    smooth = ndimage.gaussian_filter(finite, sds, truncate=_TRUNCATE_SDS)
    return np.stack(np.gradient(smooth, *voxel_mm))
