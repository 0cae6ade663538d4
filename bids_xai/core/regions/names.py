"""The two sides of a region: which hemisphere a name claims, and regions with their sides joined.

Sums over a region of both sides are sums of the sums of its sides, so no map is read twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bids_xai.arrays import Floats64
from bids_xai.core.regions.labels import side_of_name, without_side

BOTH = "both"
_LETTERS = {"left": "L", "right": "R", None: ""}


@dataclass(frozen=True)
class Region:
    """A region of an atlas, or its two sides joined.

    index : label value; of joined sides the lowest
    hemisphere : ``L``, ``R``, ``both`` for joined sides, empty where the name claims none
    members : positions in the atlas's list of labels, one or more
    """

    index: int
    name: str
    hemisphere: str
    members: tuple[int, ...]


def hemisphere_of(name: str) -> str:
    """``L`` or ``R`` where a region's name claims a side, else empty."""
    return _LETTERS[side_of_name(name)]


def single_regions(labels: Sequence[tuple[int, str]]) -> tuple[Region, ...]:
    """Return every label (value, name) as a region of its own."""
    return tuple(
        Region(index, name, hemisphere_of(name), (position,))
        for position, (index, name) in enumerate(labels)
    )


def joined_regions(labels: Sequence[tuple[int, str]]) -> tuple[Region, ...]:
    """Join labels whose names differ in their side only; empty where no two do.

    Labels without a side stay as they are. Halves that share a name need not be homologous
    (parcel 3 of a network is not its mirror image); that the names do not tell.
    """
    groups: dict[tuple[str, bool], list[Region]] = {}
    for region in single_regions(labels):
        sided = bool(region.hemisphere)
        name = without_side(region.name) if sided else region.name
        key = (name, True) if sided else (f"{name}\0{region.index}", False)
        groups.setdefault(key, []).append(region)
    if all(len(group) == 1 for group in groups.values()):
        return ()
    return tuple(_joined(name, sides) for (name, _), sides in groups.items())


def _joined(name: str, sides: Sequence[Region]) -> Region:
    if len(sides) == 1:
        return sides[0]
    hemispheres = {side.hemisphere for side in sides}
    return Region(
        min(side.index for side in sides),
        name,
        BOTH if len(hemispheres) > 1 else hemispheres.pop(),
        tuple(member for side in sides for member in side.members),
    )


def joined_sums(values: Floats64, regions: Sequence[Region]) -> Floats64:
    """Add up the columns of each region's members: (…, n_labels) → (…, n_regions)."""
    return np.stack([values[..., list(r.members)].sum(axis=-1) for r in regions], axis=-1)
