"""How far rankings and most relevant voxels agree over splits and methods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from bids_xai.arrays import Ints
from bids_xai.core.regions.rankings import TOP, overlap, top
from bids_xai.group.atlas.gain import FEWEST_REGIONS
from bids_xai.group.atlas.groups import METRICS, GroupMeans, Groups
from bids_xai.group.atlas.region_values import Part, Row, View

_OF_A_RANKING = ("configuration", "method", "atlas", "merged", "group", "metric")


def split_overlaps(view: View, part: Part, groups: Groups) -> list[dict[str, Any]]:
    """Compare the leading regions of the splits of one configuration and method."""
    if len(view.regions) < FEWEST_REGIONS:
        return []
    leading: dict[tuple[str, str], dict[str, Ints]] = {}
    for split in np.unique(groups.splits):
        mine = groups.splits == split
        for name in groups.names:
            if not (groups.members[name] & mine).any():
                continue
            means = GroupMeans.of(view, groups.members[name] & mine, groups.controls & mine)
            for metric in METRICS:
                leading.setdefault((name, metric), {})[str(split)] = top(means.metric(metric))
    about = {
        "comparison": "splits",
        "configuration": part.configuration,
        "method": part.method,
        "atlas": view.atlas,
        "merged": view.merged,
    }
    return [row for key, tops in leading.items() for row in _pairs(tops, about, *key)]


def ranking_overlaps(views: Sequence[View], rankings: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Compare the leading regions of methods, and of configurations.

    rankings : lines of ``rankings.tsv``
    """
    many = {(view.atlas, view.merged) for view in views if len(view.regions) >= FEWEST_REGIONS}
    tops: dict[tuple[Any, ...], list[int]] = {}
    for row in rankings:
        if (row["atlas"], row["merged"]) in many:
            key = tuple(row[name] for name in _OF_A_RANKING)
            tops.setdefault(key, []).append(row["index"])
    return [row for kind in ("methods", "configurations") for row in _across(tops, kind)]


def _across(tops: Mapping[tuple[Any, ...], list[int]], kind: str) -> Iterator[dict[str, Any]]:
    kept, varied = (0, 1) if kind == "methods" else (1, 0)
    sets: dict[tuple[Any, ...], dict[str, list[int]]] = {}
    for key, indices in tops.items():
        sets.setdefault((key[kept], *key[2:]), {})[key[varied]] = indices
    for (same, atlas, merged, group, metric), mine in sets.items():
        about = {
            "comparison": kind,
            "configuration" if kind == "methods" else "method": same,
            "atlas": atlas,
            "merged": merged,
        }
        yield from _pairs(mine, about, group, metric)


def _pairs(
    tops: Mapping[str, Any], about: Mapping[str, Any], group: str, metric: str
) -> Iterator[dict[str, Any]]:
    for a, b in combinations(tops, 2):
        if len(tops[a]) and len(tops[b]):
            yield {
                **about,
                "group": group,
                "a": a,
                "b": b,
                "metric": f"top{TOP}_{metric}",
                "value": overlap(tops[a], tops[b]),
            }
