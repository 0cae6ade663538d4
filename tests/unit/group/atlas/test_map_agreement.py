"""Which mean maps are compared, and that the measures are those of the two."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.core.map_similarity import MapSimilarity
from bids_xai.group.atlas.map_agreement import compare_means, compare_splits
from bids_xai.group.atlas.mean_maps import MeanMap, MeanMapKey
from bids_xai.group.atlas.parts import Part

SHAPE = (9, 9, 9)
MEASURES = ["iou_0.1", "iou_0.4", "iou_0.5", "ssim", "spearman", "euclidean", "l2"]


@pytest.fixture
def similarity() -> MapSimilarity:
    return MapSimilarity(np.ones(SHAPE, bool))


def a_map(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(SHAPE).astype(np.float32)


def measures_of(similarity: MapSimilarity, a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    return similarity.compare(similarity.profile(a), similarity.profile(b))


def test_every_two_splits_of_a_group_are_compared(similarity: MapSimilarity) -> None:
    maps = {k: a_map(k) for k in (0, 1, 3)}
    rows = compare_splits(Part("A", "m", 0, 9), {"AD": maps, "NC": {0: a_map(7)}}, similarity)
    assert [(row.a, row.b) for row in rows if row.metric == "l2"] == [
        ("0", "1"),
        ("0", "3"),
        ("1", "3"),
    ]
    assert [row.metric for row in rows[:7]] == MEASURES
    values = {row.metric: row.value for row in rows if (row.a, row.b) == ("1", "3")}
    assert values == measures_of(similarity, maps[1], maps[3])
    assert {(row.comparison, row.configuration, row.method, row.group) for row in rows} == {
        ("splits", "A", "m", "AD")
    }
    assert {(row.atlas, row.merged) for row in rows} == {(None, None)}


def test_maps_that_share_configuration_or_method_are_compared(similarity: MapSimilarity) -> None:
    pairs = (("A", "m"), ("A", "n"), ("C", "m"), ("C", "n"))
    keys = [MeanMapKey(*pair, group) for pair in pairs for group in ("AD", "FP")]
    means = {key: MeanMap(a_map(number), 1) for number, key in enumerate(keys)}
    rows = compare_means(keys, means, ("NC", "AD"), similarity)
    assert [
        (row.comparison, row.configuration, row.method, row.group, row.a, row.b)
        for row in rows
        if row.metric == "ssim"
    ] == [
        ("methods", "A", None, "AD", "m", "n"),
        ("configurations", None, "m", "AD", "A", "C"),
        ("configurations", None, "n", "AD", "A", "C"),
        ("methods", "C", None, "AD", "m", "n"),
    ]
    values = {row.metric: row.value for row in rows if (row.method, row.a) == ("n", "A")}
    first, second = (means[MeanMapKey(c, "n", "AD")].data for c in ("A", "C"))
    assert values == measures_of(similarity, first, second)


def test_a_group_that_a_configuration_lacks_is_left_out(similarity: MapSimilarity) -> None:
    keys = [MeanMapKey("A", "m", "AD"), MeanMapKey("C", "m", "NC")]
    means = {key: MeanMap(a_map(0), 1) for key in keys}
    assert compare_means(keys, means, ("NC", "AD"), similarity) == []
