"""Scans unlike those of a training are told of, and very different ones get no prediction."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from bids_xai.models.training_scans import ScanFacts, compare, summary_of

SCAN = ScanFacts(
    field_strength_t=3.0,
    echo_times_s=(0.005, 0.010, 0.015),
    voxel_mm=(1.0, 1.0, 2.0),
    quantiles=(12.0, 20.0, 40.0),
)
TRAINING = [SCAN, replace(SCAN, quantiles=(14.0, 24.0, 44.0), voxel_mm=(0.9, 1.0, 2.0))]


def scaled(factor: float) -> tuple[float, float, float]:
    low, middle, high = SCAN.quantiles
    return (factor * low, factor * middle, factor * high)


def test_the_summary_is_the_range_of_the_scans_and_goes_through_json() -> None:
    summary = summary_of(TRAINING)
    assert summary["map"] == {"low": [12.0, 20.0, 40.0], "high": [14.0, 24.0, 44.0]}
    assert summary["voxel_mm"] == {"low": [0.9, 1.0, 2.0], "high": [1.0, 1.0, 2.0]}
    assert (summary["n"], summary["field_strength_t"], summary["width"]) == (2, [3.0], 29.0)
    again = json.loads(json.dumps(summary))
    assert compare(SCAN, again, "fixed") == compare(SCAN, summary, "fixed")
    assert summary_of([]) == {}
    assert not compare(SCAN, {}, "fixed").remarks


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"field_strength_t": 2.89}, ""),
        ({"field_strength_t": None, "echo_times_s": ()}, ""),
        ({"echo_times_s": (0.0051, 0.0103, 0.0155)}, ""),
        ({"voxel_mm": (1.1, 1.1, 2.4)}, ""),
        ({"field_strength_t": 1.5}, "from 1.5 T, the training scans are from 3 T"),
        ({"field_strength_t": 7.0}, "from 7 T"),
        ({"echo_times_s": (0.003, 0.006, 0.009)}, "3, 6, 9 ms, those of the training scans 5, 10"),
        ({"echo_times_s": (0.005, 0.010)}, "echo times are 5, 10 ms"),
        ({"voxel_mm": (1.0, 1.0, 5.0)}, "1 x 1 x 5 mm, those of the training scans 0.9 x 1 x 2 to"),
        ({"quantiles": scaled(2)}, "95th percentile of the map in the brain is 80"),
        ({"quantiles": scaled(0.5)}, "is 20, in the training scans it is 40 to 44"),
    ],
)
def test_differences_are_named_with_both_values(changes: dict[str, Any], words: str) -> None:
    comparison = compare(replace(SCAN, **changes), summary_of(TRAINING), "fixed")
    assert not comparison.is_beyond
    if words:
        (remark,) = comparison.remarks
        assert words in remark
    else:
        assert comparison.remarks == ()


@pytest.mark.parametrize("factor", [10.0, 3.0, -1.0, float("nan")])
def test_values_far_outside_are_beyond(factor: float) -> None:
    """Echo times in the wrong unit, a map of another quantity, a broken fit."""
    summary = summary_of(TRAINING)
    other = replace(SCAN, quantiles=scaled(factor))
    assert compare(other, summary, "fixed").is_beyond
    assert compare(other, summary, "zscore").is_beyond
    assert not compare(other, summary, "minmax").is_beyond
