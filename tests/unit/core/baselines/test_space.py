"""Standardised features and principal components against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from bids_xai.core.baselines.space import Space


def features(n: int = 20, k: int = 7, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, k)) * rng.uniform(0.1, 50, k) + rng.uniform(-100, 100, k)


def test_features_are_standardised_by_the_training_scans() -> None:
    train, new = features(), features(5, seed=1)
    space = Space.of(train, 0)
    assert space.axes is None
    np.testing.assert_allclose(space.points(new), StandardScaler().fit(train).transform(new))


@pytest.mark.parametrize("components", [1, 3, 7])
def test_components_are_those_of_scikit_learn_but_for_their_sign(components: int) -> None:
    train, new = features(), features(5, seed=1)
    scaler = StandardScaler().fit(train)
    pca = PCA(components, svd_solver="full").fit(scaler.transform(train))
    expected = pca.transform(scaler.transform(new))
    points = Space.of(train, components).points(new)
    assert points.shape == (5, components)
    np.testing.assert_allclose(np.abs(points), np.abs(expected), rtol=1e-7, atol=1e-9)


def test_components_without_variance_are_left_out() -> None:
    train = features(k=2)
    doubled = np.concatenate([train, train], axis=1)
    assert Space.of(doubled, 4).points(doubled).shape == (20, 2)


def test_a_constant_feature_and_a_missing_measure_are_at_the_mean() -> None:
    train = features(k=3)
    train[:, 1] = 0.1
    train[4, 0] = np.nan
    space = Space.of(train, 0)
    assert space.sd[1] == 0
    assert space.mean[0] == pytest.approx(np.nanmean(train[:, 0]))
    assert space.sd[0] == pytest.approx(np.nanstd(train[:, 0]))
    points = space.points(train)
    assert not points[:, 1].any()
    assert points[4, 0] == 0
