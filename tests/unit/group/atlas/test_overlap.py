"""How far rankings agree, against sets of regions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from atlas_cases import prediction, view

from bids_xai.core.regions.rankings import FEWEST_REGIONS
from bids_xai.group.atlas.groups import Groups
from bids_xai.group.atlas.overlap import ranking_overlaps, split_overlaps
from bids_xai.group.atlas.parts import Part
from bids_xai.studies.tables import Target
from bids_xai.tables.atlas import RegionRank

TARGET = Target("diagnosis", "NC", "AD")
RANK = RegionRank(
    configuration="A",
    method="m",
    atlas="X",
    merged=False,
    group="AD",
    metric="sum",
    rank=1,
    index=300,
    name="",
    value=1.0,
)


def ranks(indices: range, **changes: str) -> list[RegionRank]:
    return [dataclasses.replace(RANK, index=index, **changes) for index in indices]


def test_leading_regions_of_splits_are_compared_group_by_group() -> None:
    sums = np.random.default_rng(0).random((6, FEWEST_REGIONS))
    rows = [prediction(split=k, participant_id=f"sub-{n}") for n, k in enumerate([0, 0, 1, 1, 2])]
    rows.append(prediction(split=2, true_class="NC", outcome="TN"))
    part = Part("A", "m", 0, 6)
    overlaps = split_overlaps(view(sums.tolist()), part, Groups.of(rows, TARGET))
    leading = {
        split: set(np.argsort(-sums[lines].mean(axis=0))[:10].tolist())
        for split, lines in (("0", [0, 1]), ("1", [2, 3]), ("2", [4]))
    }
    values = {
        (row.a, row.b): row.value
        for row in overlaps
        if (row.group, row.metric) == ("AD", "top10_density")
    }
    assert values == {
        (a, b): pytest.approx(len(leading[a] & leading[b]) / 10)
        for a, b in (("0", "1"), ("0", "2"), ("1", "2"))
    }
    first = overlaps[0]
    assert (first.comparison, first.configuration, first.method) == ("splits", "A", "m")
    assert (first.atlas, first.merged) == ("X", False)
    assert not [row for row in overlaps if row.group in ("NC", "TN")]  # of one split alone
    assert not [row for row in overlaps if row.metric == "top10_gain"]  # controls of one split


def test_atlases_of_few_regions_are_not_compared() -> None:
    rows = [prediction(split=k) for k in (0, 1)]
    small = view(np.ones((2, FEWEST_REGIONS - 1)).tolist())
    assert split_overlaps(small, Part("A", "m", 0, 2), Groups.of(rows, TARGET)) == []
    both = [*ranks(range(5)), *ranks(range(5), method="n")]
    assert ranking_overlaps([small], both) == []


def test_methods_are_compared_within_and_configurations_across() -> None:
    large = view(np.ones((1, FEWEST_REGIONS)).tolist())
    rankings = [
        *ranks(range(300, 310)),
        *ranks(range(305, 315), method="n"),
        *ranks(range(303, 313), configuration="C"),
        *ranks(range(300, 310), atlas="small"),
        *ranks(range(300, 310), atlas="small", method="n"),
    ]
    methods, configurations = ranking_overlaps([large], rankings)
    assert (methods.comparison, methods.configuration, methods.method) == ("methods", "A", None)
    assert (methods.a, methods.b, methods.value, methods.metric) == ("m", "n", 0.5, "top10_sum")
    assert (configurations.configuration, configurations.method) == (None, "m")
    assert (configurations.a, configurations.b, configurations.value) == ("A", "C", 0.7)
