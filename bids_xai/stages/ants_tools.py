"""Images of ANTs (antspyx) from and to :class:`Volume` objects: resampling, coarse grids, boxes.

ITK works in LPS millimetres, NIfTI in RAS; volumes keep the affine of the file they came from.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.arrays import Bools, Floats32
from bids_xai.bids.images import Volume
from bids_xai.bids.integrity import check_intact
from bids_xai.errors import BadDataError

LPS = np.diag([-1.0, -1.0, 1.0])
"""RAS millimetres to LPS millimetres, and back."""
WORK_MM = 2.0
"""Images are registered, and masks found, on a grid of this size."""


def ants_module(seed: int) -> Any:
    """Import antspyx in deterministic mode (it ignores its own ``random_seed`` otherwise)."""
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
    os.environ["ANTS_RANDOM_SEED"] = str(seed + 1)
    import ants

    ants.config.set_ants_deterministic(True, seed + 1)  # seed 0 would mean "by the clock"
    return ants


def to_ants(ants: Any, volume: Volume) -> Any:
    """Return the volume as an ANTs image (float32).

    Raises :class:`BadDataError` for an affine with shear, which ITK cannot represent.
    """
    spacing = np.array(volume.voxel_mm)
    rotation = volume.affine[:3, :3] / spacing
    if not np.allclose(rotation.T @ rotation, np.eye(3), atol=5e-3):
        raise BadDataError(
            "the affine of the image has shear", fix="resample the image to an orthogonal grid"
        )
    left, _, right = np.linalg.svd(rotation)
    direction = LPS @ (left @ right)
    origin = LPS @ volume.affine[:3, 3]
    data = np.ascontiguousarray(_finite(volume.data), dtype=np.float32)
    return ants.from_numpy(
        data, origin=tuple(origin), spacing=tuple(float(s) for s in spacing), direction=direction
    )


def _finite(data: NDArray[Any]) -> NDArray[Any]:
    """The data without NaN and infinities, one of which would end ITK's search."""
    if np.isfinite(data).all():
        return data
    return np.nan_to_num(data, nan=0.0, posinf=0.0, neginf=0.0)


def resample(
    ants: Any,
    moving: Volume,
    reference: Volume,
    transforms: Sequence[str | Path],
    *,
    nearest: bool = False,
    invert: Sequence[bool] | None = None,
) -> Floats32:
    """Return ``moving`` on the grid of ``reference`` in one interpolation.

    transforms : in ANTs order, the one nearest to the reference first; ``invert`` flags affine
        ones to be inverted. Linear interpolation, or nearest neighbour for labels; 0 outside.
    Raises :class:`BadDataError` for a transform of an earlier run that is not what was written.
    """
    check_intact(map(Path, transforms))  # ITK takes a field with other numbers in it as it is
    image = ants.apply_transforms(
        to_ants(ants, reference),
        to_ants(ants, moving),
        [str(t) for t in transforms],
        interpolator="nearestNeighbor" if nearest else "linear",
        whichtoinvert=list(invert) if invert is not None else None,
    )
    return np.asarray(image.numpy(), dtype=np.float32)


def coarsen(ants: Any, volume: Volume, voxel_mm: float = WORK_MM) -> Volume:
    """Return the volume smoothed and sampled at ``voxel_mm`` where it is finer than that."""
    voxel = volume.voxel_mm
    target = tuple(max(voxel_mm, v) for v in voxel)
    if np.allclose(voxel, target, rtol=0.2):
        return volume
    image = ants.smooth_image(
        to_ants(ants, volume),
        [0.4 * t if t > v else 0.0 for v, t in zip(voxel, target, strict=True)],
    )
    small = ants.resample_image(image, target, False, 0)
    affine = np.eye(4)
    affine[:3, :3] = LPS @ np.asarray(small.direction) @ np.diag(small.spacing)
    affine[:3, 3] = LPS @ np.asarray(small.origin)
    return Volume(np.asarray(small.numpy(), dtype=np.float32), affine)


def crop(volume: Volume, mask: Bools, margin_mm: float) -> tuple[slice, ...]:
    """Return the slices of the box around ``mask`` (x, y, z), wider by ``margin_mm``."""
    margin = np.ceil(margin_mm / np.array(volume.voxel_mm)).astype(int)
    inside = np.argwhere(mask)
    low = np.maximum(inside.min(0) - margin, 0)
    high = np.minimum(inside.max(0) + margin + 1, mask.shape)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def cut(volume: Volume, box: tuple[slice, ...]) -> Volume:
    """Return the part of the volume in a box, where it was in the world."""
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [part.start for part in box]
    return Volume(volume.data[box], affine)


def working_pair(
    ants: Any, fixed: Volume, moving: Volume, fixed_mask: Bools
) -> tuple[Volume, Volume, Bools]:
    """Return fixed (cropped to its mask, 8 mm margin), moving and mask on grids of 2 mm."""
    box = crop(fixed, fixed_mask, 8.0)
    mask = Volume(fixed_mask.astype(np.float32), fixed.affine)
    small = coarsen(ants, cut(mask, box)).data > 0.5
    return coarsen(ants, cut(fixed, box)), coarsen(ants, moving), small


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Within it, a folder for working files that is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="bids_xai-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
