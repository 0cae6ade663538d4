"""Summaries over repetitions by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.core.scores import classification_scores, summarise, summarise_values


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


def test_summary_of_values() -> None:
    found = summarise_values([1.0, None, 3.0, 8.0])
    assert found is not None
    assert (found.mean, found.n) == (4.0, 3)
    assert found.sd == pytest.approx(np.sqrt((9 + 1 + 16) / 2))
    assert found.percentile_2_5 == pytest.approx(1 + 0.05 * 2)  # at place 0.025 · 2 of 0, 1, 2
    assert found.percentile_97_5 == pytest.approx(3 + 0.95 * 5)
    assert summarise_values([None]) is None
