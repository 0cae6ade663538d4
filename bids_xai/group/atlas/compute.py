"""From heatmaps to regions: sums, means, gain, rankings, agreement and correlations.

Works on arrays and records alone: no file is read or written here. Each map is taken in once, for
all regions of all atlases and for the means; maps are never held together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from bids_xai.arrays import Bools, Floats
from bids_xai.core.map_similarity import MapSimilarity
from bids_xai.errors import naming
from bids_xai.group.atlas.biology import Biology, biology_rows
from bids_xai.group.atlas.fingerprints import fingerprints
from bids_xai.group.atlas.gain import gain_rows, ranking_rows
from bids_xai.group.atlas.groups import Groups
from bids_xai.group.atlas.map_agreement import compare_means, compare_splits
from bids_xai.group.atlas.mean_maps import MeanMapKey, MeanMaps, MeanMapStore, compared_groups
from bids_xai.group.atlas.overlap import ranking_overlaps, split_overlaps
from bids_xai.group.atlas.parts import Part, parts_of
from bids_xai.group.atlas.region_values import RegionValues, View, scan_region_rows
from bids_xai.group.atlas.trajectories import TimesOf, times_by_label, trajectories
from bids_xai.runtime.progress import Progress
from bids_xai.studies.tables import Target
from bids_xai.tables.atlas import (
    BiologyRow,
    Fingerprint,
    Overlap,
    RegionGain,
    RegionRank,
    RegionVolume,
    ScanRegionRow,
    Trajectory,
)
from bids_xai.tables.predictions import Prediction
from bids_xai.templates.lookup import Atlas

Row = TypeVar("Row")


@dataclass(frozen=True)
class PredictedHeatmap:
    """A relevance map (x, y, z) on the grid of the template; ``name`` is for error messages."""

    relevance: Floats
    name: str


@dataclass(frozen=True)
class AtlasInputs:
    """What the tables are made from.

    predictions : with a heatmap each, in the order of :func:`in_order`
    heatmaps : one for each prediction, in the same order; taken in one by one
    brain : (x, y, z) brain mask of the template; inside it maps are compared
    atlases : on the same grid; none for mean maps alone
    target : the classes
    biology : what is known of the scans, by prediction
    times_of : when the sessions of a participant were
    seed : of permutations
    """

    predictions: Sequence[Prediction]
    heatmaps: Iterable[PredictedHeatmap]
    brain: Bools
    atlases: Sequence[Atlas]
    target: Target
    biology: Biology
    times_of: TimesOf = times_by_label
    seed: int = 0


@dataclass(frozen=True)
class AtlasTables:
    """The lines of every table; ``regions`` and ``trajectories`` are made as they are taken."""

    regions: Iterator[ScanRegionRow]
    trajectories: Iterator[Trajectory]
    gain: Sequence[RegionGain]
    rankings: Sequence[RegionRank]
    overlap: Sequence[Overlap]
    fingerprints: Sequence[Fingerprint]
    volumes: Sequence[RegionVolume]
    biology: Sequence[BiologyRow]


@dataclass(frozen=True)
class _PartMaps:
    """One configuration and method: its predictions, their groups, and the views of all atlases."""

    part: Part
    predictions: Sequence[Prediction]
    groups: Groups
    views: Sequence[View]


def compute(inputs: AtlasInputs, means: MeanMapStore) -> AtlasTables:
    """Return the tables of the step ``atlas``; the mean maps of all groups are put in ``means``.

    Raises :class:`BadDataError`, naming the heatmap, for one of another shape than the atlases or
    with undefined voxels, and ``ValueError`` for predictions that are not in order or have no
    heatmap.
    """
    parts = parts_of(inputs.predictions)
    values = RegionValues(inputs.atlases, len(inputs.predictions))
    map_overlaps = _take_in_heatmaps(inputs, parts, values, means)
    views = values.views()
    per_part = [_part_maps(inputs, part, views) for part in parts] if views else []
    rankings = [row for maps in per_part for row in _each_view(ranking_rows, maps)]
    split_rows = [row for maps in per_part for row in _each_view(split_overlaps, maps)]
    return AtlasTables(
        regions=scan_region_rows(inputs.predictions, views),
        trajectories=_trajectories(inputs, per_part),
        gain=[row for maps in per_part for row in _each_view(gain_rows, maps)],
        rankings=rankings,
        overlap=[*map_overlaps, *split_rows, *ranking_overlaps(views, rankings)],
        fingerprints=list(_fingerprints(inputs, per_part)),
        volumes=[row for volumes in inputs.biology.volumes.values() for row in volumes.rows],
        biology=list(_biology(inputs, per_part)),
    )


def _take_in_heatmaps(
    inputs: AtlasInputs, parts: Sequence[Part], values: RegionValues, means: MeanMapStore
) -> list[Overlap]:
    """One pass over all maps: region sums, mean maps, and how alike those are."""
    similarity = MapSimilarity(inputs.brain)
    groups = compared_groups(inputs.target)
    lines = enumerate(zip(inputs.predictions, inputs.heatmaps, strict=True))
    overlaps: list[Overlap] = []
    keys: list[MeanMapKey] = []
    watch = Progress("heatmaps", len(inputs.predictions))
    for part in parts:
        of_part = MeanMaps(groups)
        for line, (prediction, heatmap) in islice(lines, part.stop - part.start):
            of_part.add(prediction, heatmap.relevance)
            with naming(heatmap.name):
                values.add(line, heatmap.relevance)
            watch.step()
        for group, mean in of_part.whole().items():
            keys.append(MeanMapKey(part.configuration, part.method, group))
            means[keys[-1]] = mean
        overlaps += compare_splits(part, of_part.by_split(), similarity)
    return [*overlaps, *compare_means(keys, means, groups, similarity)]


def _part_maps(inputs: AtlasInputs, part: Part, views: Sequence[View]) -> _PartMaps:
    predictions = inputs.predictions[part.lines]
    groups = Groups.of(predictions, inputs.target)
    return _PartMaps(part, predictions, groups, [view.of(part) for view in views])


def _each_view(rows: Callable[[View, Part, Groups], Iterable[Row]], maps: _PartMaps) -> list[Row]:
    return [row for view in maps.views for row in rows(view, maps.part, maps.groups)]


def _trajectories(inputs: AtlasInputs, per_part: Sequence[_PartMaps]) -> Iterator[Trajectory]:
    for maps in per_part:
        for view in maps.views:
            if not view.merged:
                yield from trajectories(view, maps.part, maps.predictions, inputs.times_of)


def _fingerprints(inputs: AtlasInputs, per_part: Sequence[_PartMaps]) -> Iterator[Fingerprint]:
    positive = inputs.target.positive_name
    for maps in per_part:
        for view in maps.views:
            yield from fingerprints(view, maps.part, maps.predictions, maps.groups, positive)


def _biology(inputs: AtlasInputs, per_part: Sequence[_PartMaps]) -> Iterator[BiologyRow]:
    for maps in per_part:
        biology = inputs.biology.of(maps.part)
        yield from biology_rows(
            maps.views, maps.part, maps.predictions, maps.groups, biology, inputs.seed
        )
