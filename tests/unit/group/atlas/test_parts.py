"""Predictions in the order of the study, and where its configurations and methods lie."""

from __future__ import annotations

import pytest
from atlas_cases import prediction

from bids_xai.group.atlas.parts import Part, in_order, parts_of
from bids_xai.tables.predictions import Prediction

KEYS = (
    ("C", "m", 0),
    ("A", "n", 10),
    ("old", "m", 0),
    ("A", "m", 10),
    ("A", "m", 9),
    ("C", "gone", 0),
    ("A", "n", 2),
)


@pytest.fixture
def rows() -> list[Prediction]:
    return [prediction(configuration=c, method=m, split=k) for c, m, k in KEYS]


def test_the_order_is_that_of_the_study_and_others_come_last(rows: list[Prediction]) -> None:
    ordered = in_order(rows, ["C", "A"], ["n", "m"])
    assert [(row.configuration, row.method, row.split) for row in ordered] == [
        ("C", "m", 0),
        ("C", "gone", 0),
        ("A", "n", 2),
        ("A", "n", 10),
        ("A", "m", 9),
        ("A", "m", 10),
        ("old", "m", 0),
    ]
    assert parts_of(ordered) == [
        Part("C", "m", 0, 1),
        Part("C", "gone", 1, 2),
        Part("A", "n", 2, 4),
        Part("A", "m", 4, 6),
        Part("old", "m", 6, 7),
    ]


def test_lines_of_the_same_split_keep_their_order() -> None:
    rows = [prediction(participant_id=name) for name in ("sub-2", "sub-1", "sub-3")]
    assert in_order(rows, ["A"], ["m"]) == rows


def test_the_lines_of_a_part_are_a_slice() -> None:
    assert list("abcdef"[Part("A", "m", 2, 4).lines]) == ["c", "d"]


def test_predictions_in_another_order_are_a_mistake_of_the_caller(rows: list[Prediction]) -> None:
    with pytest.raises(ValueError, match="not sorted by split"):
        parts_of(rows)
    by_turns = [prediction(configuration=c) for c in ("A", "C", "A")]
    with pytest.raises(ValueError, match="not sorted by configuration and method"):
        parts_of(by_turns)
    assert parts_of([]) == []
