"""Whether two scans are one: equal voxels, or maps that are more alike than those of two people."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.arrays import Bools, Floats64
from bids_xai.core.inputs import brain_quantiles

CELLS = (16, 20, 16)
"""Boxes along the axes of the box around the brain."""
ALIKE = 0.6
"""Correlation from which two maps may be of one person (docs/group.md has what was measured)."""

_LEAST_SCANS = 4
_LEAST_SHARE = 0.25


@dataclass(frozen=True)
class ScanPrint:
    """What tells a map from others.

    voxels : SHA-256 of shape and values, whatever the header and the compression of the file
    coarse : (16 * 20 * 16,) means of the map in boxes of the brain, NaN where there is little brain
    quantiles : 5th percentile, median and 95th percentile in the brain, in units of the map
    """

    voxels: str
    coarse: Floats64
    quantiles: tuple[float, float, float]


def scan_print(data: NDArray[Any], brain: Bools) -> ScanPrint:
    """Return the print of a map (x, y, z); brain : mask on its grid."""
    values = np.ascontiguousarray(data, dtype="<f4")
    digest = hashlib.sha256(f"{values.shape}".encode())
    digest.update(values.tobytes())
    quantiles = brain_quantiles(values, brain)
    return ScanPrint(digest.hexdigest(), _coarse(values, brain), quantiles)


def _coarse(values: NDArray[np.float32], brain: Bools) -> Floats64:
    n_cells = int(np.prod(CELLS))
    inside = np.nonzero(brain & np.isfinite(values))
    if not inside[0].size:
        return np.full(n_cells, np.nan)
    cell = np.zeros(inside[0].size, dtype=np.int64)
    for axis, n in zip(inside, CELLS, strict=True):
        low, high = int(axis.min()), int(axis.max()) + 1
        cell = cell * n + (axis - low) * n // (high - low)
    count = np.bincount(cell, minlength=n_cells)
    total = np.bincount(cell, weights=values[inside].astype(np.float64), minlength=n_cells)
    full = count.max()
    enough = count >= _LEAST_SHARE * full
    return np.where(enough, total / np.maximum(count, 1), np.nan)


def equal_pairs(digests: Sequence[str]) -> list[tuple[int, int]]:
    """Return the first scan of each digest with every other that has it."""
    first: dict[str, int] = {}
    pairs = ((first.setdefault(digest, number), number) for number, digest in enumerate(digests))
    return [(first_one, other) for first_one, other in pairs if first_one != other]


def likeness(prints: Sequence[ScanPrint]) -> Floats64:
    """Return the correlations (n, n) of what distinguishes each map from the mean of all.

    What brains have in common is taken away: two people's maps are alike, their deviations from
    the mean are not. NaN for fewer than four maps, for one without a deviation, and where the
    maps have no box in common.
    """
    n = len(prints)
    if n < _LEAST_SCANS:
        return np.full((n, n), np.nan)
    table = np.stack([scan.coarse for scan in prints])
    usable = np.isfinite(table).mean(axis=0) >= 0.9
    if not usable.any():
        return np.full((n, n), np.nan)
    table = table[:, usable]
    mean, sd = np.nanmean(table, axis=0), np.nanstd(table, axis=0)
    scores = np.nan_to_num((table - mean) / np.where(sd > 0, sd, np.inf))
    scores -= scores.mean(axis=1, keepdims=True)
    length = np.sqrt((scores**2).sum(axis=1, keepdims=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        scores = scores / length
    correlations: Floats64 = scores @ scores.T
    return correlations
