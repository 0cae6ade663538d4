"""From a map to what a network sees: its scaling, and moments over training scans. Arrays only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.arrays import Floats32, Floats64
from bids_xai.errors import BadDataError


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


QUANTILES = (0.05, 0.5, 0.95)


def brain_quantiles(values: NDArray[Any], brain: NDArray[Any]) -> tuple[float, float, float]:
    """Return the 5th percentile, median and 95th percentile of a map within the brain.

    values : (x, y, z), in its units; brain : mask of the same shape. Six significant
    digits; NaN where nothing is finite.
    """
    inside = values[brain > 0]
    inside = inside[np.isfinite(inside)]
    if not inside.size:
        return (np.nan, np.nan, np.nan)
    low, middle, high = (float(f"{q:.6g}") for q in np.quantile(inside, QUANTILES))
    return (low, middle, high)


def _between_0_and_1(values: Floats32, mask: NDArray[Any] | None) -> Floats32:
    seen = values if mask is None else values[np.asarray(mask) > 0]
    low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 0.0)
    if not high > low:
        raise BadDataError("the map has one value only", fix="check it; it may be empty")
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
