"""Support vector machines against scikit-learn's own, on planted and on shuffled labels."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from bids_xai.core.baselines import (
    FittedSvm,
    SvmParameters,
    decision_values,
    fit_svm,
    inner_fold_numbers,
    predict,
    search,
)
from bids_xai.errors import BadDataError, UsageError


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


def slow_machine(
    train: np.ndarray, truth: np.ndarray, new: np.ndarray, one: SvmParameters
) -> np.ndarray:
    """Decision values (m, c) with scikit-learn's classes, features in full."""
    scaler = StandardScaler().fit(train.astype(np.float64))
    a, b = scaler.transform(train), scaler.transform(new)
    if one.components:
        axes = PCA(one.components, svd_solver="full").fit(a)
        a, b = axes.transform(a), axes.transform(b)
    spread = np.sqrt(a.var(axis=0).sum())
    options: dict[str, Any] = {"kernel": "linear"}
    if one.gamma:
        options = {"kernel": "rbf", "gamma": one.gamma}
    classes = np.unique(truth)
    found = []
    for label in classes[1:] if len(classes) == 2 else classes:
        machine = SVC(C=one.c, class_weight="balanced", **options)
        machine.fit(a / spread, truth == label)
        found.append(machine.decision_function(b / spread))
    return np.stack(found, axis=1)


CASES = [("linear", 0, 2), ("rbf", 0, 2), ("linear", 8, 2), ("rbf", 8, 2), ("rbf", 0, 3)]


@pytest.mark.parametrize(("kernel", "pca", "classes"), CASES)
def test_a_slow_grid_search_chooses_the_same(
    monkeypatch: pytest.MonkeyPatch, kernel: str, pca: int, classes: int
) -> None:
    fewer(monkeypatch)
    features, truth, people = planted(36, k=25, shift=1.5, classes=classes)
    fitted = fit_svm(features, truth, people, kernel=kernel, pca=pca, inner_folds=3, seed=5)
    folds = inner_fold_numbers(truth, people, 3, 5)
    gammas = (1e-2, 1.0) if kernel == "rbf" else (0.0,)
    best, score = None, -1.0
    for n, gamma, c in product((2, 4, 8) if pca else (0,), gammas, (1e-2, 1.0, 1e2)):
        one = SvmParameters(c=c, gamma=gamma, components=n)
        said = np.empty(len(truth), dtype=int)
        for fold in range(3):
            left = folds == fold
            values = slow_machine(features[~left], truth[~left], features[left], one)
            said[left] = values.argmax(axis=1) if classes > 2 else values[:, 0] > 0
        mine = np.mean([(said[truth == i] == i).mean() for i in range(classes)])
        if mine > score:
            best, score = one, mine
    assert fitted.parameters == best
    assert fitted.inner_score == pytest.approx(score)
    new, _, _ = planted(10, k=25, seed=1, classes=classes)
    expected = slow_machine(features, truth, new, fitted.parameters)
    found = decision_values(fitted, new)
    assert np.allclose(found, expected, rtol=2e-3, atol=2e-3)  # SVC stops at 1e-3


def test_of_equal_parameters_the_simplest_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "C_GRID", (10.0, 100.0))
    monkeypatch.setattr(search, "GAMMA_GRID", (0.1, 1.0))
    features, truth, people = planted(24, k=6, shift=200.0)
    fitted = fit_svm(features, truth, people, kernel="rbf", pca=4)
    assert fitted.inner_score == 1.0
    assert fitted.parameters == SvmParameters(c=10.0, gamma=0.1, components=1)
    assert str(fitted.parameters) == "C=10 gamma=0.1 components=1"
    assert str(SvmParameters(c=1e-3)) == "C=0.001"


def drawn(rng: np.random.Generator, n: int, k: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    truth = rng.permutation(np.arange(n) % 2)
    features = rng.normal(size=(n, k))
    features[:, :3] += shift * truth[:, None]
    return features, truth


@pytest.mark.parametrize("options", [{}, {"kernel": "rbf", "pca": 10, "inner_folds": 3}])
def test_a_planted_signal_is_found_and_shuffled_labels_give_chance(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    fewer(monkeypatch)
    right: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(6):
        rng = np.random.default_rng(seed)
        for shuffled in (False, True):
            features, truth = drawn(rng, 60, 40, 2.5)
            new, new_truth = drawn(rng, 100, 40, 2.5)
            given = rng.permutation(truth) if shuffled else truth
            fitted = fit_svm(features, given, [str(i) for i in range(60)], seed=seed, **options)
            said = predict(fitted, new)[:, 1] >= 0.5
            right[shuffled].append(float((said == new_truth).mean()))
    assert np.mean(right[False]) > 0.85
    assert 0.4 < np.mean(right[True]) < 0.6


def same(a: FittedSvm, b: FittedSvm, features: np.ndarray, tolerance: float = 0.0) -> bool:
    alike = np.allclose(predict(a, features), predict(b, features), rtol=0, atol=tolerance)
    return bool(alike) and a.parameters == b.parameters


def test_the_seed_alone_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    fewer(monkeypatch)
    features, truth, people = planted(40, shift=1.0)
    options: dict[str, Any] = {"kernel": "rbf", "pca": 10}
    first = fit_svm(features, truth, people, seed=3, **options)
    assert same(first, fit_svm(features, truth, people, seed=3, **options), features)
    order = np.random.default_rng(0).permutation(40)
    turned = fit_svm(features[order], truth[order], [people[i] for i in order], seed=3, **options)
    assert same(first, turned, features, 1e-3)
    others = [fit_svm(features, truth, people, seed=s, **options) for s in (4, 5)]
    assert not all(same(first, other, features) for other in others)


def test_units_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    fewer(monkeypatch)
    features, truth, people = planted(40, shift=1.5)
    units = np.random.default_rng(1).uniform(0.01, 100, features.shape[1])
    scaled = features * units + 7 * units
    a = fit_svm(features, truth, people, kernel="rbf")
    b = fit_svm(scaled, truth, people, kernel="rbf")
    assert a.parameters == b.parameters
    assert np.allclose(predict(a, features), predict(b, scaled), atol=1e-3)


def test_the_number_of_features_does_not_shift_the_grid() -> None:
    """A feature a hundred times over is that feature."""
    features, truth, people = planted(40, k=3, shift=1.0)
    a = fit_svm(features, truth, people)
    b = fit_svm(np.tile(features, (1, 100)), truth, people)
    assert a.parameters == b.parameters
    new, _, _ = planted(10, k=3, seed=1)
    assert np.allclose(predict(a, new), predict(b, np.tile(new, (1, 100))), atol=1e-6)


def test_constant_and_missing_features_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    fewer(monkeypatch)
    features, truth, people = planted(40)
    more = np.concatenate(
        [features, np.full((40, 1), 0.1, np.float32), np.full((40, 1), np.nan)], axis=1
    )
    a, b = fit_svm(features, truth, people, pca=4), fit_svm(more, truth, people, pca=4)
    assert np.allclose(b.sd[-2:], 0)
    changed = more.copy()
    changed[:, -2:] = 1e6
    assert np.allclose(predict(a, features), predict(b, changed), atol=1e-9)


def test_a_missing_measure_counts_as_the_mean() -> None:
    features, truth, people = planted(40)
    features[3, 0] = features[7, 0] = np.nan
    fitted = fit_svm(features, truth, people)
    others = np.delete(features[:, 0].astype(np.float64), [3, 7])
    assert fitted.mean[0] == pytest.approx(others.mean())
    assert fitted.sd[0] == pytest.approx(others.std(), rel=1e-6)
    filled = features[:8].copy()
    filled[[3, 7], 0] = others.mean()
    assert np.allclose(predict(fitted, features[:8]), predict(fitted, filled), atol=1e-6)


def test_a_rare_class_weighs_as_much() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], [200, 20])
    features = rng.normal(size=(220, 1)) + truth[:, None]
    fitted = fit_svm(features, truth, [str(i) for i in range(220)])
    new_truth = np.repeat([0, 1], [500, 500])
    said = predict(fitted, rng.normal(size=(1000, 1)) + new_truth[:, None])[:, 1] >= 0.5
    for label in (0, 1):
        assert (said[new_truth == label] == label).mean() > 0.55


def test_more_components_than_scans_are_cut() -> None:
    features, truth, people = planted(20, k=200)
    fitted = fit_svm(features, truth, people, pca=500, inner_folds=2)
    assert fitted.parameters.components <= 9
    narrow = fit_svm(features[:, :3], truth, people, pca=500)
    assert narrow.parameters.components <= 3


def test_what_cannot_be_is_refused() -> None:
    features, truth, people = planted(20)
    with pytest.raises(BadDataError, match="all of the same class"):
        fit_svm(features, np.zeros(20), people)
    with pytest.raises(BadDataError, match="only one participant"):
        fit_svm(features, [1, 1] + [0] * 18, people)
    with pytest.raises(BadDataError, match="same in all its training scans"):
        fit_svm(np.full((20, 3), 0.1), truth, people)
    infinite = features.copy()
    infinite[2, 3] = np.inf
    with pytest.raises(BadDataError, match="infinite"):
        fit_svm(infinite, truth, people)
    with pytest.raises(UsageError, match="no kernel 'poly'"):
        fit_svm(features, truth, people, kernel="poly")
    with pytest.raises(UsageError, match="1 inner folds"):
        fit_svm(features, truth, people, inner_folds=1)
    with pytest.raises(ValueError, match="do not match"):
        fit_svm(features, truth[:-1], people)
    fitted = fit_svm(features, truth, people)
    for bad in (features[:, 1:], infinite):
        with pytest.raises(BadDataError, match="30 finite features"):
            predict(fitted, bad)
