"""Cross-validation: everybody tests once, folds are even."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from bids_xai.core.cohort.splits import kfold_splits
from bids_xai.errors import BadDataError, UsageError


def _cohort(n_patients: int, n_controls: int) -> tuple[list[str], list[str]]:
    names = [f"{i:03d}" for i in range(n_patients + n_controls)]
    return names, ["AD"] * n_patients + ["NC"] * n_controls


def _strata(n: int, seed: int = 0) -> list[str]:
    """Ages 55-84 in bands of both sexes: large strata and small ones."""
    rng = np.random.default_rng(seed)
    ages = np.clip(rng.normal(70, 7, n), 55, 84).astype(int)
    return [f"{'FM'[rng.integers(2)]} {age // 5 * 5:03d}" for age in ages]


def _table(split: dict[str, str], names: list[str], labels: list[str]) -> Counter[tuple[str, str]]:
    return Counter((label, split[name]) for name, label in zip(names, labels, strict=True))


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
