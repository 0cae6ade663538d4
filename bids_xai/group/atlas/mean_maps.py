"""Mean maps of groups, made one map at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from bids_xai.arrays import Floats, Floats32, Floats64
from bids_xai.studies.tables import Target
from bids_xai.tables.predictions import Prediction

COMPARED = ("TP", "TN")  # beside the classes; the false ones are too few

MapsBySplit = dict[int, Floats32]


class MeanMapKey(NamedTuple):
    """Whose mean a map is; ``group`` is a class or TP, FP, TN, FN."""

    configuration: str
    method: str
    group: str


@dataclass(frozen=True)
class MeanMap:
    """Mean relevance (x, y, z) of ``n_scans`` maps on one grid."""

    data: Floats32
    n_scans: int


class MeanMapStore(Protocol):
    """Takes mean maps and gives them back: a ``dict``, or files where there are many."""

    def __getitem__(self, key: MeanMapKey, /) -> MeanMap:
        """Return a map that was put in."""

    def __setitem__(self, key: MeanMapKey, mean: MeanMap, /) -> None:
        """Put a map in."""


class MeanMaps:
    """Running means of the maps of one configuration and method, whole and split by split.

    Maps come sorted by split, so that one split's sums are held at a time; its means of the groups
    in ``compared`` stay as float32, 4 bytes a voxel.
    """

    def __init__(self, compared: Collection[str]) -> None:
        self._compared = compared
        self._whole = _Sums()
        self._split = _Sums()
        self._number = -1
        self._by_group: dict[str, MapsBySplit] = {}

    def add(self, prediction: Prediction, relevance: Floats) -> None:
        """Take in the map (x, y, z) of one prediction."""
        if prediction.split != self._number:
            self._close_split()
            self._number = prediction.split
        groups = dict.fromkeys((prediction.true_class, prediction.outcome))
        for sums in (self._whole, self._split):
            sums.add(groups, relevance)

    def whole(self) -> dict[str, MeanMap]:
        """Group → mean map over all splits."""
        return dict(self._whole.means())

    def by_split(self) -> dict[str, MapsBySplit]:
        """Group → split → mean map (x, y, z), of the groups to compare."""
        self._close_split()
        return self._by_group

    def _close_split(self) -> None:
        for group, mean in self._split.means():
            if group in self._compared:
                self._by_group.setdefault(group, {})[self._number] = mean.data
        self._split = _Sums()


class _Sums:
    def __init__(self) -> None:
        self._totals: dict[str, Floats64] = {}
        self._counts: dict[str, int] = {}

    def add(self, groups: Collection[str], relevance: Floats) -> None:
        for group in groups:
            if group not in self._totals:
                self._totals[group] = np.zeros(relevance.shape)
            self._totals[group] += relevance
            self._counts[group] = self._counts.get(group, 0) + 1

    def means(self) -> Iterator[tuple[str, MeanMap]]:
        for group, total in self._totals.items():
            n_scans = self._counts[group]
            yield group, MeanMap((total / n_scans).astype(np.float32), n_scans)


def compared_groups(target: Target) -> tuple[str, ...]:
    """The groups whose mean maps are compared: the classes, and what was right."""
    return (*target.names, *COMPARED)
