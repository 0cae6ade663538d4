"""Scores against their definition and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, roc_auc_score

from bids_xai.core.scores import (
    MULTICLASS_MEASURES,
    classification_scores,
    multiclass_scores,
    summarise,
)
from bids_xai.errors import BadDataError


def test_counts_and_rates_by_hand() -> None:
    truth = [True, True, True, False, False, False, False]
    scores = classification_scores(truth, [0.9, 0.5, 0.1, 0.6, 0.2, 0.3, 0.4])
    assert (scores.tp, scores.fn, scores.fp, scores.tn) == (2, 1, 1, 3)
    assert scores.accuracy == pytest.approx(5 / 7)
    assert scores.sensitivity == pytest.approx(2 / 3)
    assert scores.specificity == pytest.approx(3 / 4)
    assert classification_scores(truth, [0.9, 0.5, 0.1, 0.6, 0.2, 0.3, 0.4], 0.55).tp == 1


def test_against_scikit_learn_with_ties() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        truth = np.append(rng.random(30) < 0.3, [True, False])
        p = np.round(rng.random(32), 1)
        scores = classification_scores(truth, p)
        assert scores.auc == pytest.approx(roc_auc_score(truth, p))
        assert scores.balanced_accuracy == pytest.approx(balanced_accuracy_score(truth, p >= 0.5))


def test_one_class_only_gives_none_where_nothing_is_defined() -> None:
    scores = classification_scores([True, True], [0.7, 0.2])
    assert (scores.sensitivity, scores.specificity) == (0.5, None)
    assert (scores.balanced_accuracy, scores.auc) == (None, None)


def test_three_classes_by_hand() -> None:
    p = [[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.4, 0.4, 0.2], [0.1, 0.2, 0.7]]
    scores = multiclass_scores(["a", "a", "b", "b", "c"], p, ["a", "b", "c"], positive="b")
    assert scores.confusion.tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 1]]
    assert scores.accuracy == pytest.approx(4 / 5)
    assert scores.balanced_accuracy == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert (scores.sensitivity, scores.specificity) == (1.0, pytest.approx(2 / 3))
    # pairs won: a 0.6, 0.2 over 0.1, 0.4, 0.1: 5 of 6; b 0.8, 0.4 over 0.3, 0.7, 0.2: 5 of 6; c all
    assert scores.auc == pytest.approx(5 / 6)
    assert scores.macro_auc == pytest.approx((5 / 6 + 5 / 6 + 1) / 3)
    tied = multiclass_scores(["a", "a", "b", "b", "c"], p, ["a", "b", "c"])
    assert tied.confusion.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]  # the first of equals
    assert (tied.sensitivity, tied.specificity, tied.auc) == (None, None, None)


def _auc_by_pairs(truth: np.ndarray, p: np.ndarray) -> float:
    won = [(a > b) + (a == b) / 2 for a in p[truth] for b in p[~truth]]
    return float(np.mean(won))


def test_many_classes_against_scikit_learn_and_pairs() -> None:
    rng = np.random.default_rng(4)
    names = ["delta", "alpha", "charlie", "bravo"]
    for _ in range(10):
        truth = np.append(rng.integers(0, 4, 40), np.arange(4))
        p = np.round(rng.dirichlet(np.ones(4), 44), 1) + np.eye(4)[truth] / 8
        p /= p.sum(axis=1, keepdims=True)
        scores = multiclass_scores([names[i] for i in truth], p, names, positive="charlie")
        predicted = p.argmax(axis=1)
        predicted[p[:, 2] == p.max(axis=1)] = 2
        np.testing.assert_array_equal(scores.confusion, confusion_matrix(truth, predicted))
        assert scores.accuracy == pytest.approx(np.mean(truth == predicted))
        assert scores.balanced_accuracy == pytest.approx(balanced_accuracy_score(truth, predicted))
        assert scores.macro_auc == pytest.approx(roc_auc_score(truth, p, multi_class="ovr"))
        areas = [_auc_by_pairs(truth == i, p[:, i]) for i in range(4)]
        assert scores.macro_auc == pytest.approx(np.mean(areas))
        assert scores.auc == pytest.approx(areas[2])
        assert scores.sensitivity == pytest.approx(np.mean(predicted[truth == 2] == 2))
        assert scores.specificity == pytest.approx(np.mean(predicted[truth != 2] != 2))


def test_two_classes_score_as_ever() -> None:
    rng = np.random.default_rng(5)
    truth = rng.random(30) < 0.4
    p = np.round(rng.random(30) * 8) / 8  # binary fractions: 1 - p is exact, 0.5 is a tie
    two = classification_scores(truth, p)
    many = multiclass_scores(
        ["AD" if t else "NC" for t in truth], np.stack([1 - p, p], 1), ["NC", "AD"], positive="AD"
    )
    for name in ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "auc"):
        assert getattr(many, name) == pytest.approx(getattr(two, name))
    assert many.macro_auc == pytest.approx(two.auc)
    assert many.confusion.ravel().tolist() == [two.tn, two.fp, two.fn, two.tp]


def test_a_class_that_does_not_occur_leaves_none() -> None:
    scores = multiclass_scores(["a", "b"], np.eye(2, 3), ["a", "b", "c"], positive="a")
    assert scores.accuracy == 1
    assert (scores.balanced_accuracy, scores.macro_auc) == (None, None)
    assert (scores.sensitivity, scores.specificity, scores.auc) == (1, 1, 1)
    absent = multiclass_scores(["a", "b"], np.eye(2, 3), ["a", "b", "c"], positive="c")
    assert (absent.sensitivity, absent.specificity, absent.auc) == (None, 1, None)
    summary = summarise([scores, absent], MULTICLASS_MEASURES)
    assert summary["macro_auc"] is None
    assert summary["sensitivity"] is not None
    assert summary["sensitivity"].n == 1


def test_unusable_predictions_of_many_classes_are_refused() -> None:
    names = ["a", "b", "c"]
    with pytest.raises(BadDataError, match=r"of 3 classes per scan, got \(2, 2\)"):
        multiclass_scores(["a", "b"], np.eye(2), names)
    with pytest.raises(BadDataError, match="of 3 classes"):
        multiclass_scores([], np.zeros((0, 3)), names)
    with pytest.raises(BadDataError, match="not finite"):
        multiclass_scores(["a"], [[np.nan, 0, 0]], names)
    with pytest.raises(BadDataError, match="'d' is not one of a, b, c"):
        multiclass_scores(["d"], [[1, 0, 0]], names)
    with pytest.raises(ValueError, match="positive one"):
        multiclass_scores(["a"], [[1, 0, 0]], names, positive="d")
