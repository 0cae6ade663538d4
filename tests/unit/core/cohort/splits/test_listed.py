"""Splits of a table."""

from __future__ import annotations

import pytest

from bids_xai.core.cohort.splits import listed_splits
from bids_xai.errors import BadDataError


def _rows(*texts: str) -> list[tuple[str, str, str]]:
    """``split: train | validation | test`` with participants of one letter."""
    rows = []
    for text in texts:
        split, _, members = text.partition(":")
        for name, group in zip(("train", "validation", "test"), members.split("|"), strict=True):
            rows += [(who, split, name) for who in group.strip()]
    return rows


def test_listed_splits_are_taken_as_they_are_in_the_order_of_their_numbers() -> None:
    rows = _rows("10:ab|cd|ef", "2:cd|ef|ab")
    splits = listed_splits([*rows[::-1], rows[0]], "abcdef", "xyxyxy")
    sets = ("train", "train", "validation", "validation", "test", "test")
    assert splits == [
        dict(zip("cdefab", sets, strict=True)),
        dict(zip("abcdef", sets, strict=True)),
    ]
    assert len(listed_splits(_rows("b:ab|cd|ef", "a:ab|cd|ef"), "abcdef", "xyxyxy")) == 2
    assert "f" not in listed_splits(_rows("0:ab|cd|ge"), "abcdefg", "xyxyxyy", complete=False)[0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0:ab|cd|ez", "Split '0' lists participant 'z', who is not in the cohort"),
        ("0:abe|cd|ef", r"Scans of e are in more than one set \(test, train\)"),
        ("0:abcd||ef", "Set 'validation' of split '0' is missing"),
        ("0:abc|d|ef", "Set 'validation' of split '0' has no participant of class 'x'"),
        ("0:ab|cd|ge", "Split '0' has no set for f"),
        ("0:||", "list of splits is empty"),
    ],
)
def test_listed_splits_are_checked(rows: str, message: str) -> None:
    n = 7 if "g" in rows else 6
    with pytest.raises(BadDataError, match=message):
        listed_splits(_rows(rows), "abcdefg"[:n], "xyxyxyy"[:n])


def test_a_listed_set_must_be_known() -> None:
    with pytest.raises(BadDataError, match=r"unknown set 'dev'.*train, validation, test"):
        listed_splits([("a", "0", "dev")], ["a"], ["x"])
