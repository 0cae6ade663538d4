"""Splits at random, by participant."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from bids_xai.core.cohort.splits import fixed_counts, kfold_splits, random_splits, split_hash
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
