"""Splits by participant."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from bids_xai.core.cohort.splits import (
    check_no_leakage,
    fixed_counts,
    kfold_splits,
    listed_splits,
    random_splits,
    split_hash,
)
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


def test_all_classes_that_are_too_small_are_told_at_once() -> None:
    people = [f"sub-{i}" for i in range(3)]
    with pytest.raises(BadDataError, match="Class 'AD' has 1 participant and class 'NC' has 2"):
        random_splits(people, ["AD", "NC", "NC"])


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


def _strata(n: int, seed: int = 0) -> list[str]:
    """Ages 55-84 in bands of both sexes: large strata and small ones."""
    rng = np.random.default_rng(seed)
    ages = np.clip(rng.normal(70, 7, n), 55, 84).astype(int)
    return [f"{'FM'[rng.integers(2)]} {age // 5 * 5:03d}" for age in ages]


def _table(split: dict[str, str], names: list[str], labels: list[str]) -> Counter[tuple[str, str]]:
    return Counter((label, split[name]) for name, label in zip(names, labels, strict=True))


def test_random_splits_are_what_they_always_were() -> None:
    names, classes = _cohort(20, 15)
    splits = random_splits(names, classes, repeats=2, seed=3)
    assert [split_hash(split) for split in splits] == ["846dc129ee4e1c05", "339e6028543a85fd"]


def test_strata_keep_the_counts_of_classes_and_share_out_every_stratum() -> None:
    names, classes = _cohort(117, 40)
    strata = _strata(157)
    for split in random_splits(names, classes, repeats=30, seed=2, strata=strata):
        assert tuple(_counts(split, names[:117]).values()) == (82, 18, 17)
        assert tuple(_counts(split, names[117:]).values()) == (28, 6, 6)
        for members in (range(117), range(117, 157)):
            found = _table(split, [names[i] for i in members], [strata[i] for i in members])
            sizes = Counter(strata[i] for i in members)
            counts = _counts(split, [names[i] for i in members])
            smallest = min(counts, key=lambda name: counts[name])
            for stratum, size in sizes.items():
                for name, count in counts.items():
                    off = abs(found[stratum, name] - size * count / len(members))
                    assert off < (1 if name == smallest else 2)


def test_strata_of_one_participant_count_together_with_their_neighbours() -> None:
    names = [f"{i:02d}" for i in range(60)]
    ages = [f"{i:03d}" for i in range(60)]  # nobody is as old as anybody else
    for split in random_splits(names, ["NC"] * 60, repeats=50, strata=ages):
        tested = [int(name) for name in names if split[name] == "test"]
        assert len(tested) == 9
        assert np.diff(tested).max() <= 8 + 1  # systematic: of 60 or 51 one in 6.7 or 5.7
        assert 22 <= np.mean(tested) <= 37


def test_strata_leave_everybody_the_same_chance() -> None:
    names, classes = _cohort(23, 12)
    splits = random_splits(names, classes, repeats=2000, seed=1, strata=_strata(35))
    for name, members in (("test", names[:23]), ("validation", names[:23]), ("test", names[23:])):
        share = np.mean([[split[who] == name for who in members] for split in splits], axis=0)
        expected = [splits[0][who] for who in members].count(name) / len(members)
        np.testing.assert_allclose(share, expected, atol=0.04)


def test_strata_do_not_depend_on_order_and_are_one_a_participant() -> None:
    names, classes = _cohort(14, 12)
    strata = _strata(26)
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(26), 2))
    mixed = [[values[i] for i in order] for values in (names, classes, strata)]
    for function in (random_splits, _thirds, _folds):
        assert function(*mixed[:2], strata=mixed[2]) == function(names, classes, strata=strata)
    with pytest.raises(BadDataError, match=r"'000' is in the strata .* one stratum"):
        random_splits([*names, "000"], [*classes, "AD"], strata=[*strata, "x"])


def _thirds(names: list[str], classes: list[str], strata: list[str]) -> list[dict[str, str]]:
    return fixed_counts(names, classes, {"train": None, "test": 4}, 3, strata=strata)


def _folds(names: list[str], classes: list[str], strata: list[str]) -> list[dict[str, str]]:
    return kfold_splits(names, classes, 3, repeats=2, strata=strata)


def test_fixed_counts_of_every_class_leave_the_rest_to_one_set() -> None:
    names, classes = _cohort(211, 169)  # boehle2019
    splits = fixed_counts(names, classes, {"train": None, "validation": 18, "test": 30}, repeats=3)
    for split in splits:
        assert tuple(_counts(split, names[:211]).values()) == (163, 18, 30)
        assert tuple(_counts(split, names[211:]).values()) == (121, 18, 30)
    assert splits[0] != splits[1]
    shorter = fixed_counts(names, classes, {"train": None, "validation": 18, "test": 30}, 1)
    assert shorter == splits[:1]


def test_fixed_counts_of_the_cohort_keep_the_shares_of_classes_and_strata() -> None:
    names, classes = _cohort(126, 306)  # klingenberg2021
    strata = _strata(432)
    sizes = {"train": 306, "validation": 63, "test": 63}
    for split in fixed_counts(names, classes, sizes, 20, per_class=False, strata=strata):
        assert Counter(split.values()) == sizes
        by_class = _table(split, names, classes)
        for name, n in (("AD", 126), ("NC", 306)):
            for chosen, size in sizes.items():
                off = abs(by_class[name, chosen] - n * size / 432)
                assert off < (1 if chosen == "validation" else 2)
        cells = [f"{name} {stratum}" for name, stratum in zip(classes, strata, strict=True)]
        found = _table(split, names, cells)
        for cell, n in Counter(cells).items():
            assert abs(found[cell, "validation"] - n * 63 / 432) < 1
            assert abs(found[cell, "test"] - n * 63 / 432) < 2


def test_fixed_counts_that_do_not_fit_are_refused() -> None:
    names, classes = _cohort(10, 5)
    with pytest.raises(BadDataError, match=r"Class 'NC' has 5 .*train \(the rest\), test \(5\)"):
        fixed_counts(names, classes, {"train": None, "test": 5})
    with pytest.raises(BadDataError, match="The cohort has 15 participants"):
        fixed_counts(names, classes, {"train": 10, "test": 4}, per_class=False)
    with pytest.raises(BadDataError, match="Set 'test' has no participant of class"):
        fixed_counts(names, classes, {"train": 14, "test": 1}, per_class=False)
    for counts in ({}, {"train": None, "test": None}, {"train": None, "test": 0}):
        with pytest.raises(UsageError, match="not sizes of sets"):
            fixed_counts(names, classes, counts)


@pytest.mark.parametrize("with_strata", [False, True])
def test_folds_test_everybody_once_and_are_even(with_strata: bool) -> None:
    names, classes = _cohort(23, 12)
    classes[20:] = ["MCI"] * 5 + classes[25:]  # three classes: 20, 10 and 5
    strata = _strata(35) if with_strata else None
    splits = kfold_splits(names, classes, 5, validation_share=0.2, seed=2, repeats=3, strata=strata)
    assert len(splits) == 15
    for repeat in (splits[:5], splits[5:10], splits[10:]):
        assert all(sum(split[name] == "test" for split in repeat) == 1 for name in names)
        for labels in (classes, ["all"] * 35, *([strata] if strata else [])):
            tested = [_table(split, names, labels) for split in repeat]
            cells = list(zip(classes, labels, strict=True))
            for label in set(labels):
                n_tests = [table[label, "test"] for table in tested]
                slack = len({c for c, found in cells if found == label}) if labels is strata else 1
                assert max(n_tests) - min(n_tests) <= slack  # a stratum is cut by the classes
        for split in repeat:
            table = _table(split, names, classes)
            assert [table[name, "validation"] for name in ("AD", "NC", "MCI")] == [3, 2, 1]
    assert splits[:5] != splits[5:10]
    once = kfold_splits(names, classes, 5, validation_share=0.2, seed=2, strata=strata)
    assert once == splits[:5]


def test_folds_without_validation() -> None:
    names, classes = _cohort(6, 4)
    for split in kfold_splits(names, classes, 4, validation_share=0):
        assert set(split.values()) == {"train", "test"}


def test_folds_that_are_impossible_are_refused() -> None:
    names, classes = _cohort(10, 4)
    with pytest.raises(BadDataError, match="Class 'NC' has 4 participants, too few for 5 folds"):
        kfold_splits(names, classes, 5)
    with pytest.raises(BadDataError, match="with a validation set"):
        kfold_splits(["a", "b", "c"], ["x"] * 3, 2)
    for n_folds, share in ((1, 0.1), (3, 1.0), (3, -0.1)):
        with pytest.raises(UsageError, match="folds"):
            kfold_splits(names, classes, n_folds, validation_share=share)


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
        ("0:abe|cd|ef", r"Scans of e lie in more than one set \(test, train\)"),
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
