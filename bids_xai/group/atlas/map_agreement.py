"""How alike the mean maps of splits, methods and configurations are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import combinations

from bids_xai.core.map_similarity import MapProfile, MapSimilarity
from bids_xai.group.atlas.mean_maps import MapsBySplit, MeanMapKey, MeanMapStore
from bids_xai.group.atlas.parts import Part
from bids_xai.tables.atlas import Overlap

_PROFILES = 24  # of mean maps at hand, about 15 MB each at 2 mm

OverlapOf = Callable[..., Overlap]


def compare_splits(
    part: Part, by_group: Mapping[str, MapsBySplit], similarity: MapSimilarity
) -> list[Overlap]:
    """Compare the mean maps of the splits of one configuration and method, group by group.

    by_group : group → split → mean map, each of the shape of the mask of ``similarity``
    """
    rows: list[Overlap] = []
    row = partial(
        Overlap,
        comparison="splits",
        configuration=part.configuration,
        method=part.method,
        atlas=None,
        merged=None,
    )
    for group, maps in by_group.items():
        if len(maps) < 2:
            continue
        profiles = {split: similarity.profile(relevance) for split, relevance in maps.items()}
        for a, b in combinations(profiles, 2):
            measures = similarity.compare(profiles[a], profiles[b])
            rows += _rows(measures, partial(row, group=group, a=str(a), b=str(b)))
    return rows


def compare_means(
    keys: Sequence[MeanMapKey],
    means: MeanMapStore,
    groups: Sequence[str],
    similarity: MapSimilarity,
) -> list[Overlap]:
    """Compare mean maps: of the methods of each configuration, and the other way round.

    keys : the maps that ``means`` has, in the order of configurations and methods
    groups : those to compare, see :func:`compared_groups`
    """

    @lru_cache(maxsize=_PROFILES)
    def profile(key: MeanMapKey) -> MapProfile:
        return similarity.profile(means[key].data)

    rows: list[Overlap] = []
    for group in groups:
        for first, second in combinations([key for key in keys if key.group == group], 2):
            row = _comparison(first, second)
            if row is not None:
                rows += _rows(similarity.compare(profile(first), profile(second)), row)
    return rows


def _comparison(first: MeanMapKey, second: MeanMapKey) -> OverlapOf | None:
    """What is compared, of two maps of a group that share configuration or method."""
    row = partial(Overlap, group=first.group, atlas=None, merged=None)
    if first.configuration == second.configuration:
        return partial(
            row,
            comparison="methods",
            configuration=first.configuration,
            method=None,
            a=first.method,
            b=second.method,
        )
    if first.method == second.method:
        return partial(
            row,
            comparison="configurations",
            configuration=None,
            method=first.method,
            a=first.configuration,
            b=second.configuration,
        )
    return None


def _rows(measures: Mapping[str, float], row: OverlapOf) -> Iterator[Overlap]:
    for metric, value in measures.items():
        yield row(metric=metric, value=value)
