"""How much of the relevance lies in lesions."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_xai.arrays import Floats32, Floats64
from bids_xai.core.grids import nearest_on_grid

_FINEST = 5  # samples along each edge of a voxel, at most


def filled_part(
    mask: npt.NDArray[Any], affine: Floats64, shape: tuple[int, ...], new_affine: Floats64
) -> Floats32:
    """Part of each voxel of another grid, (x, y, z) from 0 to 1, that a mask fills.

    mask : (x, y, z), above 0 where it is set; affine, new_affine : (4, 4) voxels to mm
    Every new voxel is sampled as finely as the mask is, by nearest neighbour, up to 5 times along
    an edge; only the box around the mask is looked at.
    """
    part = np.zeros(shape, dtype=np.float32)
    inside = np.argwhere(mask > 0)
    if not inside.size:
        return part
    to_new = np.linalg.inv(new_affine) @ affine
    ends = np.array(np.meshgrid(*zip(inside.min(0) - 0.5, inside.max(0) + 0.5, strict=True)))
    corners = to_new[:3, :3] @ ends.reshape(3, -1) + to_new[:3, 3:]
    first = np.clip(np.floor(corners.min(1) + 0.5), 0, shape).astype(int)
    last = np.clip(np.ceil(corners.max(1) + 0.5), 0, shape).astype(int)
    size = np.maximum(last - first, 0)
    if not size.all():
        return part
    width = np.sqrt((new_affine[:3, :3] ** 2).sum(0)) / np.sqrt((affine[:3, :3] ** 2).sum(0)).min()
    times = np.array([min(_FINEST, max(1, ceil(w - 1e-3))) for w in width])
    finer = np.diag([*(1 / times), 1.0])
    finer[:3, 3] = first + (1 - times) / (2 * times)  # centres of the samples of the first voxel
    samples = nearest_on_grid(
        (mask > 0).astype(np.uint8), affine, tuple(size * times), new_affine @ finer
    )
    blocks = samples.reshape(size[0], times[0], size[1], times[1], size[2], times[2])
    part[tuple(slice(a, b) for a, b in zip(first, last, strict=True))] = blocks.mean((1, 3, 5))
    return part


def lesion_share(relevance: npt.NDArray[Any], filled: npt.NDArray[Any]) -> float:
    r"""Part of the positive relevance in lesions, :math:`\sum l h^+ / \sum h^+`, NaN without any.

    relevance, filled : (x, y, z) on one grid; filled from 0 to 1, see :func:`filled_part`
    Source: eitel2019, equation 2.
    """
    positive = np.clip(relevance.astype(np.float64), 0.0, None)
    total = float(positive.sum())
    return float((positive * filled).sum() / total) if total > 0 else float("nan")
