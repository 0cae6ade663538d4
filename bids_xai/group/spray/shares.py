"""How much of the relevance lies outside the brain, and at the border of its mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from bids_xai.arrays import Bools, Floats64
from bids_xai.bids.images import Volume, read_volume
from bids_xai.core.grids import nearest_on_grid


@dataclass(frozen=True)
class RelevanceShares:
    """Shares of the relevance of n scans at wrong places.

    outside, edge : (n,) share of abs(relevance) outside the brain mask, and within a voxel of its
        border; NaN for a map that was not seen or is empty
    brain : share of the scans (x, y, z) whose brain covers a voxel; None before the first map
    """

    outside: Floats64
    edge: Floats64
    brain: Floats64 | None

    @property
    def mean_outside(self) -> float:
        """Mean share outside the brain, 0 where no map has any relevance."""
        seen = self.outside[np.isfinite(self.outside)]
        return float(np.nanmean(self.outside)) if seen.size else 0.0


class ShareCollector:
    """Takes in maps one by one, as they are read.

    masks : (n) brain mask of each scan
    """

    def __init__(self, masks: Sequence[Path]) -> None:
        self._masks = masks
        self._outside = np.full(len(masks), np.nan)
        self._edge = np.full(len(masks), np.nan)
        self._counts: Floats64 | None = None  # of the scans whose brain covers a voxel
        self._n_seen = 0

    def add(self, row: int, volume: Volume) -> Bools:
        """Take in the map of one scan; return the brain mask on its grid."""
        mask = brain_on_grid(self._masks[row], volume)
        self._outside[row], self._edge[row] = misplaced_shares(volume.data, mask)
        counts = mask.astype(np.float64)
        self._counts = counts if self._counts is None else self._counts + mask
        self._n_seen += 1
        return mask

    @property
    def shares(self) -> RelevanceShares:
        """The shares of all maps so far."""
        brain = None if self._counts is None else self._counts / self._n_seen
        return RelevanceShares(self._outside, self._edge, brain)


def misplaced_shares(relevance: np.ndarray, brain: Bools) -> tuple[float, float]:
    """Return the shares of abs(relevance) outside the brain, and within a voxel of its border.

    relevance, brain : (x, y, z); NaN twice for an empty map
    """
    strength = np.abs(relevance).astype(np.float64)
    total = strength.sum()
    if not total > 0:
        return float("nan"), float("nan")
    border = ndimage.binary_dilation(brain) & ~ndimage.binary_erosion(brain)
    return float(strength[~brain].sum() / total), float(strength[border].sum() / total)


def brain_on_grid(mask_file: Path, like: Volume) -> Bools:
    """Return a scan's brain mask on the grid of its relevance map, by the nearest voxel."""
    mask = read_volume(mask_file, np.uint8)
    return nearest_on_grid(mask.data > 0, mask.affine, like.data.shape, like.affine) > 0
