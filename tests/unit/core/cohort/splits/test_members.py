"""Classes and strata of participants, whose entries must agree."""

from __future__ import annotations

import pytest

from bids_xai.core.cohort.splits.members import (
    check_classes_in_sets,
    members_of_classes,
    strata_of_participants,
)
from bids_xai.errors import BadDataError


def test_members_are_sorted_and_counted_once_whatever_their_scans() -> None:
    members = members_of_classes(["c", "a", "b", "a"], ["y", "x", "x", "x"])
    assert members == {"x": ["a", "b"], "y": ["c"]}
    assert list(members) == ["x", "y"]


def test_strata_are_those_given_or_none() -> None:
    assert strata_of_participants(["a", "b", "a"], None) is None
    assert strata_of_participants(["a", "b", "a"], ["F", "M", "F"]) == {"a": "F", "b": "M"}


def test_two_labels_of_a_participant_are_refused() -> None:
    with pytest.raises(BadDataError, match="'a' is in the classes 'x' and 'y'"):
        members_of_classes(["a", "a"], ["x", "y"])
    with pytest.raises(BadDataError, match="'a' is in the strata 'F' and 'M'"):
        strata_of_participants(["a", "a"], ["F", "M"])


def test_every_set_needs_every_class() -> None:
    class_of = {"a": "x", "b": "y", "c": "x", "d": "y"}
    sets = dict(zip("abcd", ("train", "train", "test", "test"), strict=True))
    check_classes_in_sets(sets, class_of, ["train", "test"], "")
    with pytest.raises(BadDataError, match="Set 'validation' of split '3' is missing"):
        check_classes_in_sets(sets, class_of, ["train", "validation"], " of split '3'")
    with pytest.raises(BadDataError, match="Set 'test' has no participant of class 'y'"):
        check_classes_in_sets({**sets, "d": "train"}, class_of, ["train", "test"], "")
