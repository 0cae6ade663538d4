"""From a map on a scan's own grid to the grid of a network. Arrays only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_xai.errors import BadDataError

Affine = NDArray[np.float64]


def centred_grid(
    shape: tuple[int, ...], affine: Affine, new_shape: tuple[int, ...], voxel_mm: float | None
) -> Affine:
    """Return the affine of a grid with the same centre and axes as the given one.

    voxel_mm : edge length of the new, cubic voxels; ``None`` keeps those of the given grid.
    """
    edges = np.sqrt((affine[:3, :3] ** 2).sum(0))
    new_edges = edges if voxel_mm is None else np.full(3, float(voxel_mm))
    new = np.eye(4)
    new[:3, :3] = affine[:3, :3] / edges * new_edges
    centre = affine[:3, :3] @ ((np.array(shape) - 1) / 2) + affine[:3, 3]
    new[:3, 3] = centre - new[:3, :3] @ ((np.array(new_shape) - 1) / 2)
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
) -> NDArray[np.float32]:
    """Return ``data`` (x, y, z) on another grid, linearly, 0 outside.

    Where the new voxels are larger, the data are smoothed first by a Gaussian that makes up the
    difference in resolution (full width at half maximum √(new² − old²)), so that nothing aliases.
    """
    to_old = np.linalg.inv(affine) @ new_affine
    edges = np.sqrt((affine[:3, :3] ** 2).sum(0))
    new_edges = np.sqrt((new_affine[:3, :3] ** 2).sum(0))
    if np.allclose(to_old[:3, :3], np.eye(3), atol=1e-6) and np.allclose(
        to_old[:3, 3], np.round(to_old[:3, 3]), atol=1e-4
    ):
        return _crop_or_pad(np.asarray(data, np.float32), new_shape, np.round(to_old[:3, 3]))
    # ratio along the old axes, so that a rotation between the grids is respected
    reach = np.abs(to_old[:3, :3] / new_edges) @ new_edges
    width = np.sqrt(np.maximum(reach**2 - 1.0, 0.0)) / np.sqrt(8 * np.log(2))
    source = np.asarray(data, dtype=np.float32)
    if np.any(width * edges > 0):
        source = ndimage.gaussian_filter(source, width, mode="constant", truncate=3.0)
    return np.asarray(
        ndimage.affine_transform(
            source, to_old[:3, :3], to_old[:3, 3], output_shape=tuple(new_shape), order=1
        ),
        dtype=np.float32,
    )


def _crop_or_pad(
    data: NDArray[np.float32], new_shape: tuple[int, ...], offset: NDArray[Any]
) -> NDArray[np.float32]:
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


def network_input(
    data: NDArray[Any], mask: NDArray[Any] | None, *, scale: float, maximum: float | None = None
) -> NDArray[np.float32]:
    """Return map / scale with everything outside ``mask`` and every non-finite value set to 0.

    maximum : in units of the map; higher values become this one (an R2* map holds any number in
        air and bone, where there is no signal to fit); ``None`` keeps them.

    The result is ≥ 0, as z+ relevance needs; negative values (there are none in an R2* map)
    become 0. Raises :class:`BadDataError` for a scale that is not positive.
    """
    if not scale > 0:
        raise BadDataError(f"the input scale must be positive, found {scale}")
    values = np.nan_to_num(np.asarray(data, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    if mask is not None:
        values = values * (np.asarray(mask) > 0)
    return np.asarray(np.clip(values, 0.0, maximum) / np.float32(scale), dtype=np.float32)
