"""Rankings of regions and how far two of them agree; individuals that differ most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bids_xai.arrays import Floats64, Ints

TOP = 10
"""Regions of a ranking."""
FEWEST_REGIONS = 2 * TOP
"""With fewer in an atlas, chance alone fills most of the same leading places."""
CONFIDENT = 0.9
"""Probability above which a true positive counts as confident, for fingerprints."""
FINGERPRINT_REGIONS = 25
"""Regions by which individuals are compared."""
_BLOCK = 512


def top(values: Floats64, n: int = TOP) -> Ints:
    """Positions of the ``n`` largest values (m,), largest first; ties by place.

    Values that are not finite are left out.
    """
    defined = np.flatnonzero(np.isfinite(values))
    order: Ints = defined[np.argsort(-values[defined], kind="stable")].astype(np.int64)
    return order[:n]


def overlap(first: Sequence[int] | Ints, second: Sequence[int] | Ints, n: int = TOP) -> float:
    """Share (0 to 1) of the ``n`` places that two rankings fill with the same regions.

    The order within them does not count. Of rankings that have fewer, the places are as many as
    the longer one has; NaN where there are none. Source: boehle2019, figure 7; eitel-ritter2019,
    table 2.
    """
    places = min(n, max(len(first), len(second)))
    both = set(map(int, first[:n])) & set(map(int, second[:n]))
    return len(both) / places if places else float("nan")


def most_different(vectors: Floats64, people: Sequence[str]) -> tuple[int, int, float] | None:
    """Return the two rows of different people with the largest cosine distance, and that distance.

    vectors : (n, m), such as densities of regions; rows without length, or with undefined values,
        take no part
    people : (n,) who each row is of
    ``None`` where there are no two. Source: boehle2019, figures 5 and 8.
    """
    length = np.linalg.norm(vectors, axis=1)
    usable = np.flatnonzero(np.isfinite(length) & (length > 0))
    unit = vectors[usable] / length[usable, None]
    _, person = np.unique(np.asarray(people, dtype=str)[usable], return_inverse=True)
    best: tuple[int, int, float] | None = None
    for start in range(0, usable.size, _BLOCK):
        distance = 1.0 - unit[start : start + _BLOCK] @ unit.T
        distance[person[start : start + _BLOCK, None] == person[None, :]] = -1.0
        row, column = np.unravel_index(int(distance.argmax()), distance.shape)
        largest = float(distance[row, column])
        if largest >= 0 and (best is None or largest > best[2]):
            best = (int(usable[start + row]), int(usable[column]), largest)
    return best
