"""Lines of tables, put together by what they have in common."""

from __future__ import annotations

import math

import pytest

from bids_xai.reports.study.rows import grouped, largest_first, mean_of, means_by, text_of

PAIRS = [("b", 1.0), ("a", 3.0), ("b", None), ("c", -2.0), ("b", 2.0), ("a", None)]


def test_groups_have_the_order_of_the_file_or_the_one_asked_for() -> None:
    groups = grouped(PAIRS, lambda pair: pair[0])
    assert list(groups) == ["b", "a", "c"]
    assert [pair[1] for pair in groups["b"]] == [1.0, None, 2.0]
    assert list(grouped(PAIRS, lambda pair: pair[0], ["a", "z", "b"])) == ["a", "b", "c"]
    assert grouped([], lambda pair: pair) == {}


def test_the_largest_comes_first_and_none_last() -> None:
    order = largest_first([*PAIRS, ("a", 2.0)], lambda pair: pair[1], lambda pair: pair[0])
    assert order == [
        ("a", 3.0),
        ("a", 2.0),
        ("b", 2.0),
        ("b", 1.0),
        ("c", -2.0),
        ("a", None),
        ("b", None),
    ]


def test_means_leave_out_what_is_not_there() -> None:
    assert mean_of([1.0, None, 2.0]) == 1.5
    assert mean_of([0.1] * 10) == pytest.approx(0.1, abs=0)
    assert math.isnan(mean_of([None]))
    means = means_by(PAIRS, lambda pair: pair[0], lambda pair: pair[1])
    assert means == {"b": 1.5, "a": 3.0, "c": -2.0}


def test_none_is_written_as_in_the_file() -> None:
    assert [text_of(cell) for cell in (None, "x", 3)] == ["n/a", "x", "3"]
