"""Middle slices of volumes: what ViRelAy shows of a map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.arrays import Floats32

Slices = Floats32
"""Pictures of one channel (h, w)."""


def middle_slices(volume: NDArray[Any]) -> Slices:
    """Axial, coronal and sagittal slice through the middle (h, w), radiological, black around.

    volume : (x, y, z) in RAS order
    """
    cuts = [np.take(volume, volume.shape[axis] // 2, axis=axis).T[::-1, ::-1] for axis in (2, 1, 0)]
    sheet = np.zeros((max(cut.shape[0] for cut in cuts), sum(cut.shape[1] for cut in cuts)))
    left = 0
    for cut in cuts:
        top = (sheet.shape[0] - cut.shape[0]) // 2
        sheet[top : top + cut.shape[0], left : left + cut.shape[1]] = cut
        left += cut.shape[1]
    return sheet.astype(np.float32)


class SliceFile:
    """Middle slices of n volumes of one shape, kept in a file instead of in memory.

    slices : (n, h, w) on disk; without an item before the first volume
    """

    def __init__(self, file: Path, n: int) -> None:
        self._file, self._n = file, n
        self.slices: Floats32 = np.zeros((0, 0, 0), np.float32)

    def add(self, row: int, volume: NDArray[Any]) -> None:
        """Keep the slices of a volume (x, y, z) in RAS order."""
        slices = middle_slices(volume)
        if not len(self.slices):
            shape = (self._n, *slices.shape)
            self.slices = np.memmap(self._file, np.float32, "w+", shape=shape)
        self.slices[row] = slices
