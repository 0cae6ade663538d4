"""No participant in two sets; the hash of a split."""

from __future__ import annotations

import pytest

from bids_xai.core.cohort.splits import check_no_leakage, split_hash
from bids_xai.errors import BadDataError


def test_leakage_names_the_participant() -> None:
    check_no_leakage(["a", "a", "b"], ["train", "train", "test"])
    with pytest.raises(BadDataError, match=r"Scans of a are in more than one set .*test, train"):
        check_no_leakage(["a", "b", "a"], ["train", "train", "test"])


def test_hash_knows_the_split_and_not_its_order() -> None:
    assert split_hash({"a": "x", "b": "y"}) == split_hash({"b": "y", "a": "x"})
    assert split_hash({"a": "x", "b": "y"}) != split_hash({"a": "y", "b": "x"})
