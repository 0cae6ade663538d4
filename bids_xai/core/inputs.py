"""From a map on a scan's own grid to the grid of a network. Arrays only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_xai.arrays import Affine, Bools, Floats32, Floats64, Ints
from bids_xai.errors import BadDataError


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
    labels: NDArray[Any], affine: Affine, new_shape: tuple[int, ...], new_affine: Affine
) -> Ints:
    """Return labels (x, y, z) on another grid by nearest neighbour, 0 outside the field of view."""
    to_old = np.linalg.inv(affine) @ new_affine
    moved = ndimage.affine_transform(
        np.asarray(labels, np.float64),
        to_old[:3, :3],
        to_old[:3, 3],
        output_shape=tuple(new_shape),
        order=0,
        mode="constant",
    )
    return np.asarray(np.rint(moved), dtype=np.int64)


def _inside(shape: tuple[int, ...], new_shape: tuple[int, ...], to_old: Affine) -> Bools:
    """Return (new_shape,) whether the centre of a new voxel lies in the old field of view."""
    i, j, k = np.ogrid[tuple(slice(n) for n in new_shape)]
    result = np.ones(new_shape, dtype=bool)
    for n, (a, b, c, start) in zip(shape, to_old[:3], strict=True):
        place = a * i + b * j + c * k + start
        result &= np.abs(place - (n - 1) / 2) <= n / 2 + 1e-6
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


def network_input(
    data: NDArray[Any],
    mask: NDArray[Any] | None,
    *,
    scale: float = 1.0,
    maximum: float | None = None,
    scaling: str = "fixed",
) -> Floats32:
    """Return a map as a network sees it, 0 outside ``mask`` and where it is not finite.

    scaling : ``fixed`` gives map / scale; ``minmax`` brings the range of this map (within the mask,
        where there is one) to 0 … 1; ``zscore`` leaves the values, which :func:`standardise`
        takes on once they are on the network's grid
    maximum : in units of the map; higher values become this one (an R2* map holds any number in
        air and bone, where there is no signal to fit); ``None`` keeps them.

    The result of ``fixed`` and ``minmax`` is ≥ 0, as z+ relevance needs; negative values (there are
    none in an R2* map) become 0. Raises :class:`BadDataError` for a scale that is not positive and
    for a map without a range.
    """
    if not scale > 0:
        raise BadDataError(f"the input scale must be positive, found {scale}")
    values = np.nan_to_num(np.asarray(data, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    if maximum is not None:
        values = np.minimum(values, np.float32(maximum))
    if scaling == "minmax":
        values = _between_0_and_1(values, mask)
    if mask is not None:
        values = values * (np.asarray(mask) > 0)
    if scaling == "fixed":
        values = np.clip(values, 0.0, None) / np.float32(scale)
    return np.asarray(values, dtype=np.float32)


def _between_0_and_1(values: Floats32, mask: NDArray[Any] | None) -> Floats32:
    seen = values if mask is None else values[np.asarray(mask) > 0]
    low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 0.0)
    if not high > low:
        raise BadDataError("the map has one value only", fix="look at it; it may be empty")
    return np.clip((values - np.float32(low)) / np.float32(high - low), 0.0, 1.0)


def standardise(values: Floats32, mean: Floats32, sd: Floats32) -> Floats32:
    """Return (values - mean) / sd voxel by voxel, 0 where ``sd`` is 0; all (x, y, z)."""
    usable = sd > 0
    return np.where(usable, (values - mean) / np.where(usable, sd, 1), np.float32(0))


class RunningMoments:
    """Mean and standard deviation of volumes, voxel by voxel, one volume at a time (Welford)."""

    def __init__(self) -> None:
        self.n = 0
        self._mean: Floats64 | None = None
        self._squares: Floats64 | None = None

    def add(self, volume: Floats32) -> None:
        """Take in one volume (x, y, z); all have one shape."""
        if self._mean is None or self._squares is None:
            self._mean = np.zeros(volume.shape)
            self._squares = np.zeros(volume.shape)
        self.n += 1
        difference = volume - self._mean
        self._mean += difference / self.n
        self._squares += difference * (volume - self._mean)

    def result(self) -> tuple[Floats32, Floats32]:
        """Mean and standard deviation (n - 1), (x, y, z) each.

        Raises :class:`BadDataError` for fewer than two volumes.
        """
        if self._mean is None or self._squares is None or self.n < 2:
            raise BadDataError(
                "z-scores need two training scans or more", fix='use input.scaling = "minmax"'
            )
        sd = np.sqrt(self._squares / (self.n - 1))
        return self._mean.astype(np.float32), sd.astype(np.float32)
