"""Inner folds: participants stay whole, classes even."""

from __future__ import annotations

import numpy as np

from bids_xai.core.baselines import inner_fold_numbers
from bids_xai.errors import BadDataError


def test_folds_keep_participants_whole_and_classes_even() -> None:
    people = [f"{i % 23:02d}" for i in range(60)]
    truth = np.array([int(int(who) % 3 == 0) for who in people])  # 8 of 23
    folds = inner_fold_numbers(truth, people, 5, 0)
    fold_of = {}
    for who, fold in zip(people, folds, strict=True):
        assert fold_of.setdefault(who, fold) == fold
    for label in (0, 1):
        mine = [fold_of[who] for who in fold_of if int(int(who) % 3 == 0) == label]
        counts = np.bincount(mine, minlength=5)
        assert counts.max() - counts.min() <= 1
    assert np.ptp(np.bincount(list(fold_of.values()))) <= 1
    order = np.random.default_rng(1).permutation(60)
    again = inner_fold_numbers(truth[order], [people[i] for i in order], 5, 0)
    assert np.array_equal(again, folds[order])
    assert not np.array_equal(inner_fold_numbers(truth, people, 5, 1), folds)


def test_no_more_folds_than_participants_of_a_class() -> None:
    people = [str(i) for i in range(13)]
    truth = [1, 1, 1] + [0] * 10
    assert set(inner_fold_numbers(truth, people, 5, 0)) == {0, 1, 2}


def test_a_participant_may_change_class() -> None:
    people = ["a", "a", "b", "b", "c", "d", "e", "f"]
    truth = [0, 1, 0, 1, 0, 0, 0, 0]
    folds = inner_fold_numbers(truth, people, 4, 0)
    assert set(folds) == {0, 1}
    assert folds[0] == folds[1] != folds[2] == folds[3]
    # who ever has the rare class counts as of it: each of four folds has one of the four
    people = [str(i) for i in range(16)] + ["0", "1", "2", "3"]
    truth = [0] * 16 + [1] * 4
    for seed in range(5):
        assert sorted(inner_fold_numbers(truth, people, 4, seed)[16:]) == [0, 1, 2, 3]


def test_a_class_that_a_fold_would_take_away_is_refused() -> None:
    """Everybody of class 0 has a rarer class, too, and may be dealt to one fold."""
    truth = [0, 1, 0, 2, 0, 3, 1, 2, 3]
    people = ["a", "a", "b", "b", "c", "c", "d", "e", "f"]
    refused = []
    for seed in range(20):
        try:
            folds = inner_fold_numbers(truth, people, 5, seed)
        except BadDataError as error:
            refused.append(error.problem)
        else:
            assert [set(np.array(truth)[folds != fold]) for fold in (0, 1)] == [{0, 1, 2, 3}] * 2
    assert 0 < len(refused) < 20
    assert all("each inner fold" in problem for problem in refused)
