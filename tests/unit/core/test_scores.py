"""Scores against their definition, scikit-learn and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from bids_xai.core.scores import classification_scores, holm, mcnemar_exact, summarise
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


def test_mcnemar_against_the_binomial_test() -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        a, b = rng.random(40) < 0.7, rng.random(40) < 0.5
        only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
        expected = binomtest(only_a, only_a + only_b, 0.5).pvalue
        assert mcnemar_exact(a, b) == pytest.approx(expected)
    assert mcnemar_exact([True, False], [True, False]) == 1.0


def test_holm_by_hand_and_against_the_definition() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    p = np.random.default_rng(3).random(8) / 5
    slow = [
        min(1.0, max((8 - int((p < q).sum())) * q for q in p[p <= p[i]])) for i in range(len(p))
    ]
    np.testing.assert_allclose(holm(p), slow)
    assert holm([]).size == 0
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.2, np.nan])
