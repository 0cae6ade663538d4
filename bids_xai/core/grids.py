"""Volumes on other grids of the same world space: which grid, linearly, by nearest neighbour."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.arrays import Affine, Bools, Floats32


def centred_grid(
    shape: tuple[int, ...], affine: Affine, new_shape: tuple[int, ...], voxel_mm: float | None
) -> Affine:
    """Return the affine of a grid with the same centre and axes as the given one.

    voxel_mm : edge length of the new, cubic voxels; ``None`` keeps those of the given grid.

    Along an axis whose voxels keep their size, the grid moves by whole voxels, so that nothing is
    interpolated: where the numbers of voxels differ by an odd number, the centre is off by half a
    voxel.
    """
    edges = np.sqrt((affine[:3, :3] ** 2).sum(0))
    ratio = np.ones(3) if voxel_mm is None else float(voxel_mm) / edges
    start = (np.array(shape) - 1) / 2 - ratio * (np.array(new_shape) - 1) / 2  # in old voxels
    start = np.where(np.isclose(ratio, 1.0, rtol=1e-6), np.floor(start + 1e-3), start)
    new = np.eye(4)
    new[:3, :3] = affine[:3, :3] * ratio
    new[:3, 3] = affine[:3, :3] @ start + affine[:3, 3]
    return new


def covering_shape(
    shape: tuple[int, ...], affine: Affine, voxel_mm: float | None
) -> tuple[int, int, int]:
    """Return the number of voxels of edge ``voxel_mm`` that cover the grid along each axis."""
    if voxel_mm is None:
        return (int(shape[0]), int(shape[1]), int(shape[2]))
    edges = np.sqrt((affine[:3, :3] ** 2).sum(0))
    x, y, z = (int(np.ceil(n * e / voxel_mm - 1e-3)) for n, e in zip(shape, edges, strict=True))
    return (x, y, z)


def resample_grid(
    data: NDArray[Any], affine: Affine, new_shape: tuple[int, ...], new_affine: Affine
) -> Floats32:
    """Return ``data`` (x, y, z) on another grid, linearly, 0 outside the field of view.

    Where the new voxels are larger, the data are smoothed first by a Gaussian that makes up the
    difference in resolution (full width at half maximum √(new² − old²)), so that nothing aliases.
    A constant stays itself up to the border: smoothing and interpolation see the data mirrored
    and continued there, and a new voxel counts as inside where its centre is.
    """
    from scipy import ndimage  # labels are moved without it, where the command line is read

    to_old = np.linalg.inv(affine) @ new_affine
    if np.allclose(to_old[:3, :3], np.eye(3), atol=1e-6) and np.allclose(
        to_old[:3, 3], np.round(to_old[:3, 3]), atol=1e-4
    ):
        return _crop_or_pad(np.asarray(data, np.float32), new_shape, np.round(to_old[:3, 3]))
    # squared width of the new voxel along the old axes, in old voxels: rotation does not widen it
    wider = (to_old[:3, :3] ** 2).sum(1) - 1.0
    source = np.asarray(data, dtype=np.float32)
    if np.any(wider > 1e-6):
        width = np.sqrt(np.maximum(wider, 0.0) / (8 * np.log(2)))
        source = ndimage.gaussian_filter(source, width, mode="reflect", truncate=3.0)
    result = ndimage.affine_transform(
        source,
        to_old[:3, :3],
        to_old[:3, 3],
        output_shape=tuple(new_shape),
        order=1,
        mode="nearest",
    )
    return np.where(_inside(data.shape, new_shape, to_old), result, np.float32(0))


def nearest_on_grid(
    data: NDArray[Any], affine: Affine, new_shape: tuple[int, ...], new_affine: Affine
) -> NDArray[Any]:
    """Return an image on another grid of the same world space, by nearest neighbour.

    data : (x, y, z), any type, which the result has too; affine, new_affine : (4, 4) voxels to mm
    new_shape : (x, y, z) of the new grid

    A new voxel whose centre lies in the field of view, which reaches half a voxel beyond the
    centres of the outer voxels, takes the value of the voxel that holds it; any other is 0. A
    centre on the border between two voxels belongs to the one of the higher index, so that a grid
    half a voxel off takes every voxel once.
    """
    if data.shape == tuple(new_shape) and np.allclose(affine, new_affine, atol=1e-4):
        return data.copy()
    to_old = np.linalg.inv(affine) @ new_affine
    j, k = np.meshgrid(np.arange(new_shape[1]), np.arange(new_shape[2]), indexing="ij")
    limits = np.array(data.shape)[:, None, None]
    result = np.zeros(new_shape, dtype=data.dtype)
    for i in range(new_shape[0]):  # one slab at a time: index arrays of a whole volume are large
        position = np.stack([row[0] * i + row[1] * j + row[2] * k + row[3] for row in to_old[:3]])
        # round half up, never to even, and steadily where grids are half a voxel apart
        nearest = np.floor(position + 0.5 + 1e-6).astype(np.int64)
        inside = ((nearest >= 0) & (nearest < limits)).all(axis=0)
        result[i][inside] = data[tuple(nearest[:, inside])]
    return result


def _inside(shape: tuple[int, ...], new_shape: tuple[int, ...], to_old: Affine) -> Bools:
    """Return (new_shape,) whether the centre of a new voxel lies in the old field of view."""
    i, j, k = np.ogrid[tuple(slice(n) for n in new_shape)]
    result = np.ones(new_shape, dtype=bool)
    for n, (a, b, c, start) in zip(shape, to_old[:3], strict=True):
        position = a * i + b * j + c * k + start
        result &= np.abs(position - (n - 1) / 2) <= n / 2 + 1e-6
    return result


def _crop_or_pad(data: Floats32, new_shape: tuple[int, ...], offset: NDArray[Any]) -> Floats32:
    result = np.zeros(new_shape, dtype=np.float32)
    source, target = [], []
    for n_old, n_new, start in zip(data.shape, new_shape, offset.astype(int), strict=True):
        low, high = max(start, 0), min(start + n_new, n_old)
        if high <= low:
            return result
        source.append(slice(low, high))
        target.append(slice(low - start, high - start))
    result[tuple(target)] = data[tuple(source)]
    return result
