"""How far the leading regions of splits, methods and configurations agree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from bids_xai.arrays import Ints
from bids_xai.core.regions.rankings import FEWEST_REGIONS, TOP, overlap, top
from bids_xai.group.atlas.groups import METRICS, GroupMeans, Groups
from bids_xai.group.atlas.parts import Part
from bids_xai.group.atlas.region_values import View
from bids_xai.tables.atlas import Overlap, RegionRank

OverlapOf = Callable[..., Overlap]


def split_overlaps(view: View, part: Part, groups: Groups) -> list[Overlap]:
    """Compare the leading regions of the splits of one configuration and method.

    view, groups : of this part. Nothing for an atlas of fewer regions than ``FEWEST_REGIONS``.
    """
    if len(view.regions) < FEWEST_REGIONS:
        return []
    leading: dict[tuple[str, str], dict[str, Ints]] = {}
    for split in np.unique(groups.splits):
        in_split = groups.splits == split
        for group in groups.names:
            members = groups.members[group] & in_split
            if not members.any():
                continue
            means = GroupMeans.of(view, members, groups.controls & in_split)
            for metric in METRICS:
                leading.setdefault((group, metric), {})[str(split)] = top(means.metric(metric))
    row = partial(
        Overlap,
        comparison="splits",
        configuration=part.configuration,
        method=part.method,
        atlas=view.atlas,
        merged=view.merged,
    )
    return [
        overlapping
        for (group, metric), tops in leading.items()
        for overlapping in _pairs(tops, partial(row, group=group), metric)
    ]


def ranking_overlaps(views: Sequence[View], rankings: Iterable[RegionRank]) -> list[Overlap]:
    """Compare the leading regions of methods, and of configurations.

    rankings : lines of ``rankings.tsv``, of all configurations and methods; views : their atlases
    """
    many = {(view.atlas, view.merged) for view in views if len(view.regions) >= FEWEST_REGIONS}
    leading = [rank for rank in rankings if (rank.atlas, rank.merged) in many]
    return [*_across(leading, "methods"), *_across(leading, "configurations")]


def _across(rankings: Iterable[RegionRank], comparison: str) -> Iterator[Overlap]:
    """Compare methods within configurations, or configurations within methods."""
    tops: dict[tuple[Any, ...], dict[str, list[int]]] = {}
    for rank in rankings:
        shared = (rank.atlas, rank.merged, rank.group, rank.metric)
        if comparison == "methods":
            by_name = tops.setdefault((rank.configuration, None, *shared), {})
            by_name.setdefault(rank.method, []).append(rank.index)
        else:
            by_name = tops.setdefault((None, rank.method, *shared), {})
            by_name.setdefault(rank.configuration, []).append(rank.index)
    for (configuration, method, atlas, merged, group, metric), by_name in tops.items():
        row = partial(
            Overlap,
            comparison=comparison,
            configuration=configuration,
            method=method,
            atlas=atlas,
            merged=merged,
            group=group,
        )
        yield from _pairs(by_name, row, metric)


def _pairs(
    tops: Mapping[str, Sequence[int] | Ints], row: OverlapOf, metric: str
) -> Iterator[Overlap]:
    """A line for every two that have leading regions; row : makes it of the rest."""
    for a, b in combinations(tops, 2):
        if len(tops[a]) and len(tops[b]):
            value = overlap(tops[a], tops[b])
            yield row(a=a, b=b, metric=f"top{TOP}_{metric}", value=value)
