"""Cells: what is missing, what is a number."""

from __future__ import annotations

import pytest

from bids_xai.core.cohort.cells import is_missing, number_of, refuse_missing
from bids_xai.errors import BadDataError


def test_missing_is_what_says_nothing() -> None:
    assert all(map(is_missing, ["", " ", "n/a", "N/A", "nan", None, float("nan")]))
    assert not any(map(is_missing, ["0", 0, "none", "NA", "no"]))


def test_a_number_is_finite_and_written_as_one() -> None:
    assert [number_of(cell) for cell in ("3", " 4.5 ", "-1e3", 7, 0.5)] == [3, 4.5, -1000, 7, 0.5]
    assert not any(
        number_of(cell) is not None
        for cell in ("", None, "n/a", "nan", "inf", float("nan"), "1_000", "ten")
    )


def test_missing_values_are_refused_with_their_number() -> None:
    refuse_missing(["1", "2"], "age")
    with pytest.raises(BadDataError, match="'age' is missing for 2 of 3 participants"):
        refuse_missing(["1", "n/a", None], "age")
