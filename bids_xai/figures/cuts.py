"""Slices of volumes: how one is looked at, and at which positions to cut.

All volumes are (x, y, z) in RAS order: x grows to the patient's right, y to the front, z upwards.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bids_xai.arrays import Bools, Floats

AXES = {"axial": 2, "coronal": 1, "sagittal": 0}


def panel(volume: Floats | Bools, plane: str, index: int) -> Floats | Bools:
    """Cut one slice as it is looked at: first line at the top, radiological.

    Axial: front at the top. Coronal, sagittal: top of the head at the top. Axial, coronal: the
    patient's right at the left. Sagittal: front at the left.
    """
    cut: Floats | Bools = np.take(volume, index, axis=AXES[plane]).T[::-1, ::-1]
    return cut


def positions(extent: Bools, axis: int, count: int) -> tuple[int, ...]:
    """Return ``count`` slice indices spread evenly through the extent of a mask along an axis."""
    others = tuple(a for a in range(3) if a != axis)
    occupied = np.flatnonzero(extent.any(axis=others))
    first, last = (occupied[0], occupied[-1]) if occupied.size else (0, extent.shape[axis] - 1)
    inner = np.linspace(first, last, count + 2)[1:-1]
    return tuple(int(i) for i in np.rint(inner))


def crossings(mask: Bools, axis: int, count: int) -> tuple[int, ...]:
    """Return ``count`` slice indices along an axis that all cut the mask, most where it is most.

    They part the voxels of the mask evenly. Of an empty mask, :func:`positions` are returned.
    """
    others = tuple(a for a in range(3) if a != axis)
    total = np.cumsum(mask.sum(axis=others))
    if not total[-1]:
        return positions(mask, axis, count)
    share_below = (np.arange(count) + 0.5) / count * total[-1]
    return tuple(int(i) for i in np.searchsorted(total, share_below))


def planes(extent: Bools, names: Sequence[str], count: int) -> tuple[tuple[str, int], ...]:
    """Return the cuts of several planes through the extent of a mask, in order."""
    return tuple((name, i) for name in names for i in positions(extent, AXES[name], count))
