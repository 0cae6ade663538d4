"""SpRAy on planted clusters and on the edges of its domain."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import kneighbors_graph

from bids_xai.core.spray import (
    neighbour_affinity,
    normalised_laplacian,
    spray,
    squared_distances,
)
from bids_xai.errors import BadDataError, UsageError


def _planted(
    sizes: tuple[int, ...], distance: float, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian clouds in 20 dimensions, whose centres lie ``distance`` apart."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = np.eye(20)[: len(sizes)] * distance / np.sqrt(2)
    return (centres[truth] + rng.normal(size=(truth.size, 20))).astype(np.float32), truth


def _slow_affinity(features: np.ndarray, neighbours: int) -> np.ndarray:
    n = len(features)
    affinity = np.zeros((n, n))
    for i in range(n):
        distances = [np.sqrt(((features[i] - features[j]) ** 2).sum()) for j in range(n)]
        for j in np.argsort(distances)[:neighbours]:
            affinity[i, j] += 0.5
            affinity[j, i] += 0.5
    return affinity


@pytest.mark.parametrize("distance", [9.0, 60.0])
def test_planted_clusters_are_found(distance: float) -> None:
    features, truth = _planted((25, 35, 45), distance)
    result = spray(features)
    assert result.n_clusters == 3
    assert adjusted_rand_score(truth, result.labels) == 1.0
    assert result.gaps.argmax() + 1 == 3
    assert result.embedding.shape == (105, 2)
    centres = np.array([result.embedding[truth == k].mean(axis=0) for k in range(3)])
    nearest = ((result.embedding[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == truth).mean() > 0.95


def test_eigenvalues_against_a_slow_dense_computation() -> None:
    features, _ = _planted((12, 11), 3.0)
    affinity = _slow_affinity(features, 5)
    np.testing.assert_array_equal(neighbour_affinity(features, 5), affinity)
    degree = affinity.sum(axis=1)
    laplacian = np.diag(1 / np.sqrt(degree)) @ (np.diag(degree) - affinity)
    dense = np.sort(np.linalg.eigvals(laplacian @ np.diag(1 / np.sqrt(degree))).real)
    result = spray(features, neighbours=5)
    np.testing.assert_allclose(result.eigenvalues, dense[:10], atol=1e-9)
    np.testing.assert_allclose(result.gaps, np.diff(dense[:10]), atol=1e-9)
    assert result.eigenvalues[0] == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(
        normalised_laplacian(affinity), laplacian @ np.diag(1 / np.sqrt(degree)), atol=1e-12
    )


def test_unconnected_graph_is_noted() -> None:
    features, _ = _planted((20, 20), 1000.0)
    result = spray(features)
    assert result.n_components == 2
    assert any("2 unconnected parts" in note for note in result.notes)
    connected = spray(_planted((40,), 0.0)[0])
    assert connected.n_components == 1
    assert connected.notes == ()


def test_the_seed_decides() -> None:
    features, _ = _planted((20, 20), 4.0)
    one, same = spray(features, seed=3), spray(features, seed=3)
    np.testing.assert_array_equal(one.labels, same.labels)
    np.testing.assert_array_equal(one.embedding, same.embedding)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 12, 13])
def test_tiny_groups(n: int) -> None:
    result = spray(np.random.default_rng(n).normal(size=(n, 7)))
    assert result.labels.shape == (n,)
    assert result.embedding.shape == (n, 2)
    assert np.isfinite(result.embedding).all()
    assert result.eigenvalues.shape == (min(n, 10),)
    assert (n < 12) == any(f"{n} neighbours instead of 12" in note for note in result.notes)
    assert (n < 4) == any("not t-SNE" in note for note in result.notes)
    if n <= 12:  # everybody is everybody's neighbour: one cluster
        assert result.n_clusters == 1


def test_duplicates_keep_their_self_loops() -> None:
    features = np.repeat(np.random.default_rng(0).normal(size=(3, 6)), 15, axis=0)
    np.testing.assert_array_equal(np.diag(neighbour_affinity(features, 4)), 1.0)
    result = spray(features)
    groups = np.repeat(np.arange(3), 15)
    assert all(len(set(groups[result.labels == k])) == 1 for k in range(result.n_clusters))
    assert np.isfinite(result.embedding).all()


def test_all_maps_equal() -> None:
    result = spray(np.ones((20, 4)), n_clusters=2)
    assert np.isfinite(result.embedding).all()
    assert spray(np.ones((6, 4))).n_clusters == 1


def test_a_given_number_of_clusters_is_taken() -> None:
    features, _ = _planted((20, 20), 9.0)
    assert set(spray(features, n_clusters=4).labels) == {0, 1, 2, 3}
    np.testing.assert_array_equal(spray(features, n_clusters=1).labels, 0)
    assert spray(_planted((20, 20, 20), 60.0)[0], max_clusters=2).n_clusters <= 2


def test_the_input_is_left_alone() -> None:
    features, _ = _planted((8, 8), 5.0)
    before = features.copy()
    spray(features)
    np.testing.assert_array_equal(features, before)


@pytest.mark.parametrize("n_clusters", [0, 11])
def test_impossible_numbers_of_clusters_are_refused(n_clusters: int) -> None:
    with pytest.raises(UsageError, match="1 to 10 clusters"):
        spray(np.random.default_rng(0).normal(size=(10, 3)), n_clusters=n_clusters)


@pytest.mark.parametrize("features", [np.empty((0, 3)), np.full((4, 3), np.nan), np.ones(5)])
def test_undefined_maps_are_refused(features: np.ndarray) -> None:
    with pytest.raises(BadDataError, match="finite"):
        spray(features)


def test_neighbours_are_those_of_scikit_learn() -> None:
    """Distances by matrix products of blocks, against its search, with an offset."""
    rng = np.random.default_rng(8)
    for n, p in ((7, 3), (30, 5000)):
        features = (rng.normal(size=(n, p)) + 50).astype(np.float32)
        slow = ((features[:, None].astype(np.float64) - features[None]) ** 2).sum(axis=2)
        assert np.allclose(squared_distances(features, block=1000), slow, rtol=1e-9, atol=1e-9)
        graph = kneighbors_graph(features, 5, mode="connectivity", include_self=True).toarray()
        assert np.array_equal(neighbour_affinity(features, 5), 0.5 * (graph + graph.T))


def test_a_map_is_its_own_neighbour_among_duplicates() -> None:
    affinity = neighbour_affinity(np.ones((5, 4)), 2)
    assert np.array_equal(np.diagonal(affinity), np.ones(5))
