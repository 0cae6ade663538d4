"""From a neighbour graph to clusters: eigenvalues against slow ones, the number of clusters."""

from __future__ import annotations

import numpy as np
import pytest
from planted_maps import planted
from scipy.sparse import csr_array
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import kneighbors_graph

from bids_xai.core.spray.clusters import neighbour_affinity, normalised_laplacian, spray
from bids_xai.core.spray.graph import (
    cluster_rows,
    embedding_rows,
    graph_affinity,
    largest_gap,
    smallest_eigenpairs,
)
from bids_xai.core.spray.neighbours import exact_neighbours


def _slow_affinity(features: np.ndarray, neighbours: int) -> np.ndarray:
    n = len(features)
    affinity = np.zeros((n, n))
    for i in range(n):
        distances = [np.sqrt(((features[i] - features[j]) ** 2).sum()) for j in range(n)]
        for j in np.argsort(distances)[:neighbours]:
            affinity[i, j] += 0.5
            affinity[j, i] += 0.5
    return affinity


def test_eigenvalues_against_a_slow_dense_computation() -> None:
    features, _ = planted((12, 11), 3.0)
    affinity = _slow_affinity(features, 5)
    np.testing.assert_array_equal(neighbour_affinity(features, 5).toarray(), affinity)
    degree = affinity.sum(axis=1)
    laplacian = np.diag(1 / np.sqrt(degree)) @ (np.diag(degree) - affinity)
    dense = np.sort(np.linalg.eigvals(laplacian @ np.diag(1 / np.sqrt(degree))).real)
    result = spray(features, n_neighbors=5)
    np.testing.assert_allclose(result.eigenvalues, dense[:10], atol=1e-9)
    np.testing.assert_allclose(result.gaps, np.diff(dense[:10]), atol=1e-9)
    assert result.eigenvalues[0] == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(
        normalised_laplacian(csr_array(affinity)).toarray(),
        laplacian @ np.diag(1 / np.sqrt(degree)),
        atol=1e-12,
    )


def test_a_map_is_its_own_neighbour_among_duplicates() -> None:
    affinity = neighbour_affinity(np.ones((5, 4)), 2)
    assert np.array_equal(affinity.diagonal(), np.ones(5))


def _dense(features: np.ndarray, k: int) -> np.ndarray:
    """All eigenvalues by the textbook."""
    graph = kneighbors_graph(features, k, mode="connectivity", include_self=True).toarray()
    affinity = 0.5 * (graph + graph.T)
    scale = np.diag(affinity.sum(axis=1) ** -0.5)
    values: np.ndarray = np.linalg.eigvalsh(np.eye(len(features)) - scale @ affinity @ scale)
    return values


def test_the_sparse_solver_agrees_with_the_textbook() -> None:
    """Connected, and in four parts, each of which has its own eigenvalue zero."""
    for distance, parts in ((3.0, 1), (200.0, 4)):
        features, _ = planted((60, 50, 40, 30), distance)
        affinity = neighbour_affinity(features, 8)
        found = smallest_eigenpairs(affinity, 10, dense_up_to=0)
        assert found.n_components == parts
        np.testing.assert_allclose(found.values, _dense(features, 8)[:10], atol=1e-8)
        product = normalised_laplacian(affinity) @ found.vectors
        np.testing.assert_allclose(product, found.vectors * found.values, atol=1e-7)


def test_the_number_of_planted_clusters_is_found() -> None:
    rng = np.random.default_rng(5)
    right = 0
    for draw in range(100):
        k = 2 + draw % 7
        sizes = tuple(int(size) for size in rng.integers(20, 40, size=k))
        features, truth = planted(sizes, 8.0, seed=draw)
        indices = exact_neighbours(features, 12).indices
        spectrum = smallest_eigenpairs(graph_affinity(indices), 10)
        chosen = largest_gap(spectrum.gaps, 9)
        rows = embedding_rows(spectrum, graph_affinity(indices), chosen)
        same = adjusted_rand_score(truth, cluster_rows(rows, chosen, 0)) > 0.9
        right += chosen == k and same
    assert right >= 95
