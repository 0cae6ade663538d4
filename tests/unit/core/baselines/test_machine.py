"""Probabilities and decision values of fitted machines."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from bids_xai.core.baselines import decision_values, fit_svm, predict, search


def planted(
    n: int, k: int = 30, shift: float = 3.0, seed: int = 0, classes: int = 2
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Noise of different scales; feature j is higher in class j. Two scans a participant."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) // 2 % classes
    features = rng.normal(size=(n, k))
    features[np.arange(n), truth] += shift
    units = np.random.default_rng(99)
    features = features * units.uniform(0.1, 50, k) + units.uniform(-100, 100, k)
    return features.astype(np.float32), truth, [f"{i // 2:03d}" for i in range(n)]


def fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "C_GRID", (1e-2, 1.0, 1e2))
    monkeypatch.setattr(search, "GAMMA_GRID", (1e-2, 1.0))


def test_probabilities_are_the_sigmoid_of_decision_values() -> None:
    features, truth, people = planted(40, shift=1.5)
    fitted = fit_svm(features, truth, people)
    values = decision_values(fitted, features)[:, 0]
    slope, offset = fitted.sigmoids[0]
    found = predict(fitted, features)
    assert np.allclose(found[:, 1], 1 / (1 + np.exp(-(slope * values + offset))))
    assert np.allclose(found.sum(axis=1), 1)
    assert slope > 0


def test_of_several_classes_probabilities_are_shares_of_their_sum() -> None:
    features, truth, people = planted(60, classes=3)
    fitted = fit_svm(features, truth + 4, people)
    assert fitted.classes.tolist() == [4, 5, 6]
    each = expit(decision_values(fitted, features) * fitted.sigmoids[:, 0] + fitted.sigmoids[:, 1])
    found = predict(fitted, features)
    assert np.allclose(found, each / each.sum(axis=1, keepdims=True))
    new, new_truth, _ = planted(60, seed=1, classes=3)
    assert (predict(fitted, new).argmax(axis=1) == new_truth).mean() > 0.8


def test_predictions_depend_on_nothing_but_the_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    fewer(monkeypatch)
    features, truth, people = planted(40)
    before = features.copy()
    fitted = fit_svm(features, truth, people, pca=5)
    assert np.array_equal(features, before)
    new, _, _ = planted(12, seed=1)
    alone = np.concatenate([predict(fitted, new[i : i + 1]) for i in range(12)])
    assert np.allclose(predict(fitted, new), alone, atol=1e-12)
    assert predict(fitted, new[:0]).shape == (0, 2)
