"""Maps of many scans as rows of one array on disk: what spectral relevance analysis works on."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bids_xai.arrays import Bools, Floats32, Floats64
from bids_xai.bids.images import Volume
from bids_xai.core.grids import centred_grid, covering_shape, resample_grid
from bids_xai.core.spray.features import feature_row
from bids_xai.core.spray.neighbours import Maps
from bids_xai.errors import BadDataError, CannotCreateError, naming
from bids_xai.runtime.progress import Progress
from bids_xai.studies.tables import Spray

_LARGEST, _SMALLEST = 60_000.0, 1e-3
"""Of a map in float16: largest value, and least mean size that keeps three digits of most values.
"""


@dataclass(frozen=True)
class Stack:
    """Maps of n scans, one a row.

    maps : (n, p) on disk; shape, affine : the grid; inside : voxels (x, y, z) that are features
    scale : the maps are this many times their true values (float16 has no room for small ones);
        0 while all maps so far are empty
    """

    maps: Maps
    shape: tuple[int, ...]
    affine: Floats64
    inside: Bools
    scale: float

    def with_map(self, row: int, volume: Volume, features: str) -> Stack:
        """The stack with a map written into a row; the first that is not empty sets the scale.

        Raises ``BadDataError`` for another shape, and where float16 has no room for a map.
        """
        _same_shape(volume, self.shape)
        values = feature_row(volume.data[self.inside].astype(np.float32), features)
        size = float(np.abs(values).mean(dtype=np.float64))
        if self.maps.dtype != np.float16:
            self.maps[row] = values
            return self
        scale = self.scale or (1.0 / size if size > 0 else 0.0)
        scaled = values.astype(np.float64) * scale
        if size > 0 and (np.abs(scaled).max() > _LARGEST or size * scale < _SMALLEST):
            raise BadDataError(
                "float16 cannot hold this map together with the others: its mean magnitude is "
                f"{size:.3g}, that of the first {1 / scale:.3g}",
                fix='set spray.precision = "float32"',
            )
        self.maps[row] = scaled
        return replace(self, scale=scale)

    def mean(self, members: Bools) -> Floats32:
        """Mean map (x, y, z) of some of the scans, in the units of the maps."""
        total = np.zeros(int(self.inside.sum()))
        for row in np.flatnonzero(members):
            total += self.maps[row]
        result = np.zeros(self.shape, np.float32)
        result[self.inside] = total / (max(1, int(members.sum())) * (self.scale or 1.0))
        return result


def build_stack(
    file: Path,
    readers: Sequence[Callable[[], Volume]],
    options: Spray,
    inside: Bools | None = None,
    each: Callable[[int, Volume], None] | None = None,
    files: Sequence[Path] = (),
) -> Stack:
    """Read maps one after the other into ``file``; never more than one is in memory.

    readers : one a scan, whose maps are all of one shape
    options : ``voxel_mm``, ``features`` and ``precision`` count
    inside : the voxels that count; all by default. Maps finer than ``options.voxel_mm`` are
        resampled to it first (not where ``inside`` fixes the grid)
    each : is shown every map as it was read
    files : of the maps, for messages
    Raises ``CannotCreateError`` where the disk is too small, ``BadDataError`` for another shape,
    for a map without the features that are asked for, and for maps too different for float16.
    """
    stack: Stack | None = None
    shape: tuple[int, ...] | None = None
    progress = Progress("maps", len(readers))
    for row, reader in enumerate(readers):
        volume = reader()
        with naming(files[row]) if files else nullcontext():
            shape = _same_shape(volume, shape)
        if each is not None:
            each(row, volume)
        if inside is None:
            volume = coarse(volume, options.voxel_mm)
        if stack is None:
            voxels = np.ones(volume.data.shape, dtype=bool) if inside is None else inside
            stack = _allocate(file, len(readers), volume, voxels, options.precision)
        with naming(files[row]) if files else nullcontext():
            stack = stack.with_map(row, volume, options.features)
        progress.step()
    if stack is None:
        raise ValueError("no maps")
    return stack


def _same_shape(volume: Volume, shape: tuple[int, ...] | None) -> tuple[int, ...]:
    """The shape of a map; raises ``BadDataError`` where it is not that of those before."""
    if shape is not None and volume.data.shape != shape:
        raise BadDataError(
            f"a map of the shape {volume.data.shape} among maps of {shape}",
            fix="run --steps explain again",
        )
    return volume.data.shape


def _allocate(file: Path, n: int, first: Volume, inside: Bools, precision: str) -> Stack:
    """The array on disk, with its blocks reserved: a full disk is told here, not while writing."""
    p, dtype = int(inside.sum()), np.dtype(precision)
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with file.open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, max(1, n * p * dtype.itemsize))
    except OSError as error:
        raise CannotCreateError(
            f"cannot reserve {n * p * dtype.itemsize / 2**20:.0f} MiB for the maps: "
            f"{error.strerror or error}",
            file=file,
            fix="use a --work-dir with more space, or spray.voxel_mm and spray.precision",
        ) from error
    maps = np.memmap(file, dtype=dtype, mode="r+", shape=(n, p))
    scale = 0.0 if dtype == np.float16 else 1.0
    return Stack(maps, first.data.shape, first.affine, inside, scale)


def coarse(volume: Volume, voxel_mm: float) -> Volume:
    """Return the volume with voxels of ``voxel_mm`` where they are smaller."""
    if min(volume.voxel_mm) >= voxel_mm - 1e-3:
        return volume
    shape = covering_shape(volume.data.shape, volume.affine, voxel_mm)
    affine = centred_grid(volume.data.shape, volume.affine, shape, voxel_mm)
    return Volume(resample_grid(volume.data, volume.affine, shape, affine), affine)
