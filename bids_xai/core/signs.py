"""Negative values where an image should have none: how many, and what to do about them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.arrays import Floats

MOST_NEGATIVE = 0.05
"""Share of the signal below 0 up to which an image is a magnitude. Ringing of an interpolation in
air stays far below it; of phase and of real parts it is near a half."""


def negative_share(signal: NDArray[Any]) -> float:
    """Return the sum of sizes of the negative values over that of all finite values.

    signal : any shape; 0 where nothing is finite or all is 0.
    """
    total = negative = 0.0
    for part in signal if signal.ndim > 1 else signal[None]:
        finite = part[np.isfinite(part)].astype(np.float64)
        total += float(np.abs(finite).sum())
        negative -= float(finite[finite < 0].sum())
    return negative / total if total else 0.0


def without_sign(values: Floats) -> tuple[Floats, float]:
    """Return a weighted image shifted so that its lowest finite value is 0, and the shift.

    An image with at most ``MOST_NEGATIVE`` of its signal below 0 stays as it is (shift 0). One
    with more is signed by design, such as the ratio of MP2RAGE from -0.5 to 0.5.
    """
    if negative_share(values) <= MOST_NEGATIVE:
        return values, 0.0
    shift = -float(values[np.isfinite(values)].min())
    return values + np.asarray(shift, dtype=values.dtype), shift
