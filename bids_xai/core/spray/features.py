"""What of a map is compared: all of it, its shares, or its strongest voxels alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from bids_xai.arrays import Floats
from bids_xai.core.map_similarity import top_sets
from bids_xai.errors import BadDataError, UsageError

Row = Floats


def _plain(values: Row) -> Row:
    return values


def _sum_normalised(values: Row) -> Row:
    total = float(values.sum(dtype=np.float64))
    size = float(np.abs(values).sum(dtype=np.float64))
    if size == 0:
        return values  # an empty map has no shares, and is like other empty maps
    if abs(total) <= 1e-6 * size:
        raise BadDataError(
            f"a map whose values sum to {total:.3g} cannot be divided by its sum",
            fix='use spray.features = "plain", or a relevance that does not cancel',
        )
    return values / values.dtype.type(total)


def _top(share: float) -> Callable[[Row], Row]:
    def keep(values: Row) -> Row:
        (strongest,) = top_sets(values, (share,))
        return np.where(strongest, values, values.dtype.type(0))

    return keep


FEATURES: Mapping[str, Callable[[Row], Row]] = {
    "plain": _plain,
    "sum-normalised": _sum_normalised,
    "top-0.4": _top(0.4),
    "top-0.1": _top(0.1),
}
"""Name → what is done with a map (p,). ``top-p`` keeps the values of the top-p set, 0 elsewhere."""


def feature_row(values: Row, kind: str) -> Row:
    """Return the features (p,) of one map (p,).

    kind : a key of :data:`FEATURES`
    float16 becomes float32, which has room for the sum of a map.
    Raises ``UsageError`` for another, ``BadDataError`` for a map that is not finite or sums to
    nothing.
    """
    if kind not in FEATURES:
        raise UsageError(f"no features '{kind}'", fix=f"choose one of {', '.join(FEATURES)}")
    if not np.isfinite(values).all():
        raise BadDataError(
            "a map to cluster must be finite, and one is not",
            fix="check the maps for NaN and infinite values",
        )
    return FEATURES[kind](values.astype(np.float32) if values.dtype == np.float16 else values)
