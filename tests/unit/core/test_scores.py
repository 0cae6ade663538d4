"""Scores against their definition, scikit-learn and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    balanced_accuracy_score,
    brier_score_loss,
    confusion_matrix,
    roc_auc_score,
    roc_curve,
)

from bids_xai.core.scores import (
    MULTICLASS_MEASURES,
    calibration,
    classification_scores,
    fpr_grid,
    multiclass_scores,
    roc_band,
    roc_on_grid,
    summarise,
    summarise_values,
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


@pytest.mark.parametrize(("truth", "p"), [([], []), ([True], [np.nan]), ([True], [0.1, 0.2])])
def test_unusable_predictions_are_refused(truth: list[bool], p: list[float]) -> None:
    with pytest.raises(BadDataError):
        classification_scores(truth, p)


def test_summary_over_repetitions() -> None:
    rng = np.random.default_rng(1)
    scores = [classification_scores(rng.random(9) < 0.5, rng.random(9)) for _ in range(10)]
    scores.append(classification_scores([True], [0.9]))
    values = np.array([score.accuracy for score in scores])
    accuracy, auc = summarise(scores)["accuracy"], summarise(scores)["auc"]
    assert accuracy is not None
    assert auc is not None
    assert (accuracy.n, auc.n) == (11, 10)
    assert accuracy.mean == pytest.approx(values.mean())
    assert accuracy.sd == pytest.approx(np.sqrt(((values - values.mean()) ** 2).sum() / 10))
    assert accuracy.percentile_2_5 == pytest.approx(np.quantile(values, 0.025))
    assert accuracy.percentile_97_5 == pytest.approx(np.quantile(values, 0.975))
    single = summarise(scores[-1:])
    assert single["auc"] is None
    assert single["accuracy"] is not None
    assert single["accuracy"].sd is None


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
    with pytest.raises(BadDataError, match=r"of 3 classes a scan, got \(2, 2\)"):
        multiclass_scores(["a", "b"], np.eye(2), names)
    with pytest.raises(BadDataError, match="of 3 classes"):
        multiclass_scores([], np.zeros((0, 3)), names)
    with pytest.raises(BadDataError, match="not finite"):
        multiclass_scores(["a"], [[np.nan, 0, 0]], names)
    with pytest.raises(BadDataError, match="'d' is not one of a, b, c"):
        multiclass_scores(["d"], [[1, 0, 0]], names)
    with pytest.raises(ValueError, match="positive one"):
        multiclass_scores(["a"], [[1, 0, 0]], names, positive="d")


def test_summary_of_values() -> None:
    found = summarise_values([1.0, None, 3.0, 8.0])
    assert found is not None
    assert (found.mean, found.n) == (4.0, 3)
    assert found.sd == pytest.approx(np.sqrt((9 + 1 + 16) / 2))
    assert found.percentile_2_5 == pytest.approx(1 + 0.05 * 2)  # at place 0.025 · 2 of 0, 1, 2
    assert found.percentile_97_5 == pytest.approx(3 + 0.95 * 5)
    assert summarise_values([None]) is None


def test_roc_by_hand() -> None:
    truth, p = [True, False, True, False], [0.9, 0.8, 0.3, 0.3]
    grid = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    # corners (0, 0) (0, 1/2) (1/2, 1/2) (1, 1): the tie at 0.3 is a slope
    np.testing.assert_allclose(roc_on_grid(truth, p, grid), [0.5, 0.5, 0.5, 0.75, 1.0])
    assert roc_on_grid([True], [0.5], grid) is None
    assert roc_on_grid([False], [0.5], grid) is None


def test_roc_against_scikit_learn_and_its_area_against_the_auc() -> None:
    rng = np.random.default_rng(6)
    for n_negative in (7, 10, 29):
        truth = rng.permutation([True] * 13 + [False] * n_negative)
        p = np.round(rng.random(truth.size) * 0.6 + truth * 0.3, 1)
        fine = fpr_grid(n_negative * 40 + 1)
        curve = roc_on_grid(truth, p, fine)
        assert curve is not None
        fpr, tpr, _ = roc_curve(truth, p, drop_intermediate=False)
        for x, y in zip(fine, curve, strict=True):
            at = np.isclose(fpr, x, atol=1e-9)
            if at.any():
                assert y == pytest.approx(tpr[at].max())
            else:
                before, after = np.flatnonzero(fpr < x)[-1], np.flatnonzero(fpr > x)[0]
                slope = (tpr[after] - tpr[before]) / (fpr[after] - fpr[before])
                assert y == pytest.approx(tpr[before] + slope * (x - fpr[before]))
        area = np.mean((curve[1:] + curve[:-1]) / 2)
        scores = classification_scores(truth, p)
        assert area == pytest.approx(scores.auc, abs=0.5 / 40 / n_negative * 13 + 1e-9)


def test_roc_at_its_own_corners_is_not_put_off_by_rounding() -> None:
    for n in range(3, 120):
        # one scan of each class after the other: the curve jumps at every corner
        truth, p = np.tile([True, False], n), np.arange(2.0 * n)[::-1]
        curve = roc_on_grid(truth, p, fpr_grid(n + 1))
        np.testing.assert_allclose(curve, np.minimum(np.arange(1, n + 2), n) / n)


def test_roc_band_is_rate_by_rate() -> None:
    grid = fpr_grid(3)
    curves = [np.array([0, x, 1.0]) for x in (0.2, 0.4, 0.9)]
    band = roc_band(curves, grid)
    np.testing.assert_allclose(band.mean, [0, 0.5, 1])
    np.testing.assert_allclose(band.percentile_2_5, [0, 0.21, 1])
    np.testing.assert_allclose(band.percentile_97_5, [0, 0.875, 1])
    assert band.n == 3
    with pytest.raises(ValueError, match="do not fit"):
        roc_band([], grid)


def test_calibration_by_hand() -> None:
    truth = [False, True, True, False, True, True]
    found = calibration(truth, [0.0, 0.4, 0.5, 0.6, 0.8, 1.0], n_bins=2)
    np.testing.assert_allclose(found.predicted, [0.3, 0.8])
    np.testing.assert_allclose(found.observed, [2 / 3, 2 / 3])
    assert found.counts.tolist() == [3, 3]
    assert found.brier == pytest.approx((0.36 + 0.25 + 0.36 + 0.04) / 6)
    assert found.expected_error == pytest.approx((2 / 3 - 0.3) / 2 + (0.8 - 2 / 3) / 2)


def test_calibration_against_scikit_learn() -> None:
    rng = np.random.default_rng(7)
    p = rng.random(120)
    truth = rng.random(120) < p
    found = calibration(truth, p, n_bins=8)
    observed, predicted = calibration_curve(truth, p, n_bins=8, strategy="quantile")
    np.testing.assert_allclose(found.observed, observed)
    np.testing.assert_allclose(found.predicted, predicted)
    assert set(found.counts.tolist()) == {15}
    assert found.brier == pytest.approx(brier_score_loss(truth, p))
    uneven = calibration(truth[:107], p[:107], n_bins=8)
    assert set(uneven.counts.tolist()) == {13, 14}


def test_calibration_keeps_equal_probabilities_together_in_whatever_order() -> None:
    p = np.repeat([0.1, 0.2, 0.9], [2, 6, 4])
    truth = np.arange(12) % 3 == 0
    found = calibration(truth, p, n_bins=4)
    np.testing.assert_allclose(found.predicted, [0.1, 0.2, 0.9])
    assert found.counts.tolist() == [2, 6, 4]
    expected = (2 * (1 / 2 - 0.1) + 6 * (1 / 3 - 0.2) + 4 * (0.9 - 1 / 4)) / 12
    assert found.expected_error == pytest.approx(expected)
    middle = calibration([True] * 6, np.repeat([0.1, 0.2, 0.3], [1, 4, 1]), n_bins=3)
    assert middle.counts.tolist() == [1, 4, 1]  # by midrank; by last rank it would be 1 and 5
    order = np.random.default_rng(0).permutation(12)
    again = calibration(truth[order], p[order], n_bins=4)
    np.testing.assert_allclose(again.observed, found.observed)
    assert calibration([True], [0.7]).expected_error == pytest.approx(0.3)


def test_what_is_no_probability_is_not_calibrated() -> None:
    with pytest.raises(BadDataError, match=r"from -0\.5 to 2"):
        calibration([True, False], [2.0, -0.5])
    with pytest.raises(ValueError, match="0 bins"):
        calibration([True, False], [0.2, 0.5], n_bins=0)
