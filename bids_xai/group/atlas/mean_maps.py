"""Mean maps of groups, made one map at a time, and how alike those of splits and methods are."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from bids_xai.arrays import Floats, Floats32, Floats64
from bids_xai.bids.files import write_json, write_nifti
from bids_xai.bids.images import read_volume
from bids_xai.bids.names import label_of
from bids_xai.core.map_similarity import MapProfile, Similarity
from bids_xai.group.atlas.region_values import Part, Row
from bids_xai.group.context import GroupContext
from bids_xai.templates.grid import TemplateGrid

COMPARED = ("TP", "TN")  # beside the classes; the false ones are too few
_KEPT = 24  # profiles of mean maps at hand, about 15 MB each at 2 mm

Maps = dict[str, Floats32]


class MeanMaps:
    """Running means of the maps of one configuration and method, whole and split by split.

    Maps come sorted by split, so that one split's sums are held at a time; its means of the groups
    in ``compared`` stay as float32, 4 bytes a voxel.
    """

    def __init__(self, compared: Collection[str]) -> None:
        self._compared = compared
        self._whole = _Sums()
        self._split = _Sums()
        self._number = ""
        self._by_group: dict[str, Maps] = {}

    def add(self, row: Row, data: Floats) -> None:
        """Take in the map (x, y, z) of one prediction."""
        if row["split"] != self._number:
            self._close_split()
            self._number = row["split"]
        for sums in (self._whole, self._split):
            sums.add((row["true_class"], row["outcome"]), data)

    def whole(self) -> dict[str, tuple[Floats32, int]]:
        """Group → mean map and number of scans."""
        return {name: (mean, self._whole.counts[name]) for name, mean in self._whole.means()}

    def by_split(self) -> dict[str, Maps]:
        """Group → split → mean map, of the groups to compare."""
        self._close_split()
        return self._by_group

    def _close_split(self) -> None:
        for name, mean in self._split.means():
            if name in self._compared:
                self._by_group.setdefault(name, {})[self._number] = mean
        self._split = _Sums()


class _Sums:
    def __init__(self) -> None:
        self.totals: dict[str, Floats64] = {}
        self.counts: dict[str, int] = {}

    def add(self, groups: Iterable[str], data: Floats) -> None:
        for name in dict.fromkeys(groups):
            if name not in self.totals:
                self.totals[name] = np.zeros(data.shape)
            self.totals[name] += data
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> Iterator[tuple[str, Floats32]]:
        for name, total in self.totals.items():
            yield name, (total / self.counts[name]).astype(np.float32)


def mean_file(context: GroupContext, configuration: str, method: str, group: str) -> Path:
    """Return where a mean map lies; those of the study's first method carry no ``desc``."""
    first = method == context.study.attribution.methods[0]
    desc = "" if first else f"_desc-{label_of(method)}"
    name = f"configuration-{configuration}_group-{label_of(group)}{desc}_mean.nii.gz"
    return context.folder / "means" / name


def write_means(
    context: GroupContext, grid: TemplateGrid, part: Part, means: MeanMaps
) -> list[Path]:
    """Write the mean maps of one configuration and method, and what they are."""
    written = []
    for group, (mean, count) in means.whole().items():
        path = mean_file(context, part.configuration, part.method, group)
        written.append(write_nifti(path, mean, grid.template.brain.affine))
        about = {"Method": part.method, "Group": group, "Scans": count, "Space": str(grid.space)}
        sidecar = path.with_name(path.name.removesuffix(".nii.gz") + ".json")
        written.append(write_json(sidecar, about))
    return written


def compared_groups(context: GroupContext) -> tuple[str, ...]:
    """The groups whose mean maps are compared: the classes, and what was right."""
    return (*context.study.target.names, *COMPARED)


def compare_splits(part: Part, means: MeanMaps, similarity: Similarity) -> list[dict[str, Any]]:
    """Compare the mean maps of the splits of one configuration and method, group by group."""
    found = []
    about = {"comparison": "splits", "configuration": part.configuration, "method": part.method}
    for group, maps in means.by_split().items():
        if len(maps) < 2:
            continue
        profiles = {split: similarity.profile(data) for split, data in maps.items()}
        for a, b in combinations(profiles, 2):
            measured = similarity.compare(profiles[a], profiles[b])
            found += _lines(measured, {**about, "group": group, "a": a, "b": b})
    return found


def compare_means(
    context: GroupContext, parts: Iterable[Part], written: Container[Path], similarity: Similarity
) -> list[dict[str, Any]]:
    """Compare mean maps: of the methods of each configuration, and the other way round.

    written : the mean maps of this run
    """

    @lru_cache(maxsize=_KEPT)
    def profile(path: Path) -> MapProfile:
        return similarity.profile(read_volume(path).data)

    found: list[dict[str, Any]] = []
    pairs = [(part.configuration, part.method) for part in parts]
    for group in compared_groups(context):
        here = {pair: mean_file(context, *pair, group) for pair in pairs}
        for one, two in combinations([p for p, file in here.items() if file in written], 2):
            if (about := _comparison(one, two)) is not None:
                measured = similarity.compare(profile(here[one]), profile(here[two]))
                found += _lines(measured, {**about, "group": group})
    return found


def _comparison(one: tuple[str, str], two: tuple[str, str]) -> dict[str, str] | None:
    """What is compared, of two pairs of configuration and method that share one of the two."""
    if one[0] == two[0]:
        return {"comparison": "methods", "configuration": one[0], "a": one[1], "b": two[1]}
    if one[1] == two[1]:
        return {"comparison": "configurations", "method": one[1], "a": one[0], "b": two[0]}
    return None


def _lines(measured: Mapping[str, float], about: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{**about, "metric": metric, "value": value} for metric, value in measured.items()]
