"""Splits by participant."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.core.splits import check_no_leakage, random_splits, split_hash
from bids_xai.errors import BadDataError, UsageError


def _cohort(n_patients: int, n_controls: int) -> tuple[list[str], list[str]]:
    names = [f"{i:03d}" for i in range(n_patients + n_controls)]
    return names, ["AD"] * n_patients + ["NC"] * n_controls


def _counts(split: dict[str, str], members: list[str]) -> dict[str, int]:
    return {
        name: sum(split[m] == name for m in members) for name in ("train", "validation", "test")
    }


@pytest.mark.parametrize(
    ("n", "expected"),
    [(3, (1, 1, 1)), (4, (2, 1, 1)), (10, (7, 2, 1)), (20, (14, 3, 3)), (117, (82, 18, 17))],
)
def test_each_class_is_shared_out(n: int, expected: tuple[int, int, int]) -> None:
    names, classes = _cohort(n, 40)
    for split in random_splits(names, classes):
        assert tuple(_counts(split, names[:n]).values()) == expected
        assert tuple(_counts(split, names[n:]).values()) == (28, 6, 6)


def test_neither_order_scans_nor_number_of_repeats_matter() -> None:
    names, classes = _cohort(12, 9)
    first = random_splits(names, classes, repeats=3, seed=4)
    order = np.random.default_rng(0).integers(0, len(names), 200)  # scans: people come again
    assert set(order) == set(range(len(names)))
    again = random_splits([names[i] for i in order], [classes[i] for i in order], repeats=5, seed=4)
    assert again[:3] == first
    assert first[0] != first[1]
    assert random_splits(names, classes, repeats=1, seed=5)[0] != first[0]


def test_participants_land_in_test_as_often_as_they_should() -> None:
    names, classes = _cohort(20, 20)
    splits = random_splits(names, classes, repeats=600, seed=1)
    share = np.mean([[split[name] == "test" for name in names] for split in splits], axis=0)
    np.testing.assert_allclose(share, 0.15, atol=0.06)


def test_too_few_participants_says_how_many_are_needed() -> None:
    names, classes = _cohort(2, 10)
    with pytest.raises(BadDataError, match=r"'AD' has 2 .* 3 are needed.*add 1"):
        random_splits(names, classes)


def test_a_participant_in_two_classes_is_refused() -> None:
    with pytest.raises(BadDataError, match="'01' is in the classes 'AD' and 'NC'"):
        random_splits(["01", "01"], ["AD", "NC"])


def test_fractions_must_sum_to_one() -> None:
    with pytest.raises(UsageError, match="sum to 1"):
        random_splits(*_cohort(5, 5), fractions={"train": 0.7, "test": 0.2})


def test_leakage_names_the_participant() -> None:
    check_no_leakage(["a", "a", "b"], ["train", "train", "test"])
    with pytest.raises(BadDataError, match=r"Scans of a lie in .*test, train"):
        check_no_leakage(["a", "b", "a"], ["train", "train", "test"])


def test_hash_knows_the_split_and_not_its_order() -> None:
    assert split_hash({"a": "x", "b": "y"}) == split_hash({"b": "y", "a": "x"})
    assert split_hash({"a": "x", "b": "y"}) != split_hash({"a": "y", "b": "x"})
