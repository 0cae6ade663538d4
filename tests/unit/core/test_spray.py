"""SpRAy on planted clusters and on the edges of its domain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.cluster import SpectralClustering
from sklearn.datasets import make_moons
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import kneighbors_graph

from bids_xai.core.spray.clusters import (
    copies,
    neighbour_affinity,
    normalised_laplacian,
    spray,
    squared_distances,
)
from bids_xai.core.spray.embedding import graph_distances
from bids_xai.core.spray.features import feature_row
from bids_xai.core.spray.graph import (
    cluster_rows,
    embedding_rows,
    graph_affinity,
    largest_gap,
    smallest_eigenpairs,
)
from bids_xai.core.spray.neighbours import exact_neighbours
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
    np.testing.assert_array_equal(neighbour_affinity(features, 4).diagonal(), 1.0)
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


@pytest.mark.parametrize(
    "features",
    [np.empty((0, 3)), np.full((4, 3), np.nan), np.ones(5), np.array([[np.inf, 1], [-np.inf, 2]])],
)
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
        assert np.array_equal(neighbour_affinity(features, 5).toarray(), 0.5 * (graph + graph.T))


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
        features, _ = _planted((60, 50, 40, 30), distance)
        affinity = neighbour_affinity(features, 8)
        found = smallest_eigenpairs(affinity, 10, dense_up_to=0)
        assert found.n_components == parts
        np.testing.assert_allclose(found.values, _dense(features, 8)[:10], atol=1e-8)
        product = normalised_laplacian(affinity) @ found.vectors
        np.testing.assert_allclose(product, found.vectors * found.values, atol=1e-7)


def test_more_parts_than_clusters_are_allowed() -> None:
    """Twelve pairs of copies far apart: nothing but zeros, and it is said."""
    features = np.repeat(np.eye(12) * 100, 4, axis=0)
    result = spray(features, n_neighbors=3)
    assert result.n_components == 12
    np.testing.assert_array_equal(result.eigenvalues, 0)
    assert result.n_clusters == 9  # as many as are allowed: more would be right
    assert any("more parts than the 9 clusters" in note for note in result.notes)
    assert any("exact copy" in note for note in result.notes)
    assert len(set(spray(features, 3, n_clusters=12).labels)) == 12


@pytest.mark.filterwarnings("ignore:Graph is not fully connected")
def test_labels_are_those_of_scikit_learn() -> None:
    blobs, truth = _planted((40, 50, 60), 12.0, seed=1)
    moons, sides = make_moons(200, noise=0.05, random_state=0)
    for features, wanted, k in ((blobs, truth, 3), (moons, sides, 2)):
        ours = spray(features, n_clusters=k).labels
        theirs = SpectralClustering(
            k, affinity="precomputed", assign_labels="kmeans", random_state=0
        ).fit_predict(neighbour_affinity(features, 12).toarray())
        assert adjusted_rand_score(ours, theirs) == 1.0
        assert adjusted_rand_score(ours, wanted) == 1.0


def test_the_number_of_planted_clusters_is_found() -> None:
    rng = np.random.default_rng(5)
    right = 0
    for draw in range(100):
        k = 2 + draw % 7
        sizes = tuple(int(size) for size in rng.integers(20, 40, size=k))
        features, truth = _planted(sizes, 8.0, seed=draw)
        indices = exact_neighbours(features, 12).indices
        spectrum = smallest_eigenpairs(graph_affinity(indices), 10)
        chosen = largest_gap(spectrum.gaps, 9)
        rows = embedding_rows(spectrum, graph_affinity(indices), chosen)
        same = adjusted_rand_score(truth, cluster_rows(rows, chosen, 0)) > 0.9
        right += chosen == k and same
    assert right >= 95


@pytest.mark.parametrize("distance", [4.0, 6.0, 40.0])
def test_the_order_of_maps_does_not_matter(distance: float) -> None:
    features, _ = _planted((30, 25, 20), distance)
    order = np.random.default_rng(1).permutation(len(features))
    one, other = spray(features), spray(features[order])
    np.testing.assert_allclose(one.eigenvalues, other.eigenvalues, atol=1e-10)
    assert one.n_clusters == other.n_clusters
    assert adjusted_rand_score(one.labels[order], other.labels) == 1.0


def test_blocks_and_types_of_maps_change_nothing(tmp_path: Path) -> None:
    """Small blocks, single precision and a file on disk: the same neighbours."""
    features, _ = _planted((130, 90, 80), 5.0)
    wide = np.hstack([features, np.zeros((300, 700), np.float32)])
    whole = exact_neighbours(wide, 20)
    file = np.lib.format.open_memmap(tmp_path / "maps.npy", "w+", np.float32, wide.shape)
    file[:] = wide
    few = exact_neighbours(file, 20, memory_mb=0.5)  # blocks of 104 maps
    np.testing.assert_array_equal(whole.indices, few.indices)
    np.testing.assert_allclose(whole.squared, few.squared, rtol=1e-9, atol=1e-9)
    slow = np.argsort(((wide[:, None, :20] - wide[None, :, :20]) ** 2).sum(-1), axis=1)[:, :20]
    np.testing.assert_array_equal(whole.indices, slow)
    single = exact_neighbours(np.vstack([wide] + [wide + i for i in range(1, 7)]), 5)
    np.testing.assert_array_equal(single.indices[:300], whole.indices[:, :5])


def test_many_maps_take_the_sparse_road() -> None:
    """Beyond the limit of dense distances t-SNE sees a sparse graph; the nearest are the same."""
    features, _ = _planted((60, 60), 9.0)
    result = spray(features)
    dense = graph_distances(result.affinity, result.neighbours)
    sparse = graph_distances(result.affinity, result.neighbours, dense_up_to=0)
    stored = sparse.toarray()
    assert (np.diff(sparse.indptr) >= 38).all()  # the map itself and 37 others
    own = sparse.indices.reshape(-1)[sparse.indptr[:-1]]
    np.testing.assert_array_equal(own, np.arange(120))
    linked = result.affinity.toarray() - np.eye(120) > 0
    np.testing.assert_allclose(stored[linked], dense[linked])
    beyond = (stored > 0) & ~linked
    np.testing.assert_allclose(stored[beyond], dense[beyond], rtol=1e-5)


def test_a_map_that_is_nobodys_neighbour_has_a_place_in_the_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Far from all others, it is among the neighbours of none: the sparse graph is just enough."""
    features = np.random.default_rng(0).normal(size=(120, 6))
    features[:5] *= np.arange(40, 90, 10)[:, None]
    result = spray(features)
    dense = graph_distances(result.affinity, result.neighbours)
    sparse = graph_distances(result.affinity, result.neighbours, dense_up_to=0)
    seen = kneighbors_graph(
        sparse, 11, metric="precomputed", mode="distance", include_self=False
    ).toarray()  # as t-SNE asks for them
    np.fill_diagonal(dense, np.inf)
    nearest = np.sort(np.where(seen > 0, seen, np.inf), axis=1)[:, :11]
    np.testing.assert_allclose(nearest, np.sort(dense, axis=1)[:, :11], rtol=1e-5)
    monkeypatch.setattr("bids_xai.core.spray.embedding.graph_distances", lambda *of: sparse)
    assert np.isfinite(spray(features).embedding).all()


def test_other_features_of_a_map() -> None:
    row = np.array([4.0, -1.0, 3.0, 2.0, 1.0, 0.0])
    np.testing.assert_array_equal(feature_row(row, "plain"), row)
    np.testing.assert_allclose(feature_row(row, "sum-normalised"), row / 9)
    np.testing.assert_array_equal(feature_row(row, "top-0.4"), [4, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(feature_row(row + 0.1, "top-0.4"), [4.1, 0, 3.1, 0, 0, 0])
    np.testing.assert_array_equal(feature_row(-np.ones(3), "top-0.4"), 0)
    scaled = _planted((20, 20), 9.0)[0] + 10
    scaled *= np.random.default_rng(0).uniform(1, 50, size=(40, 1)).astype(np.float32)
    found = spray(scaled, kind="sum-normalised")
    assert found.n_clusters == 2
    with pytest.raises(UsageError, match=r"top-0\.4"):
        spray(scaled, kind="top")
    with pytest.raises(BadDataError, match="divided by its sum"):
        feature_row(np.array([1.0, -1.0]), "sum-normalised")


def test_features_refuse_what_is_not_finite_and_have_room_for_sums() -> None:
    maps = _planted((12, 12), 9.0)[0]
    maps[3, 1] = np.nan
    for kind in ("plain", "top-0.4", "sum-normalised"):
        with pytest.raises(BadDataError, match="finite"):
            spray(maps, kind=kind)
    large = np.full(2000, 100, np.float16)  # the sum is beyond float16
    np.testing.assert_allclose(feature_row(large, "sum-normalised"), 1 / 2000, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_copies_are_counted_and_nothing_else(dtype: type) -> None:
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(2100, 40)).astype(dtype)  # beyond 2,000: products in float32
    maps[7] *= 1e6  # far from all others
    copied = rng.choice(np.arange(100, 2100), 10, replace=False)
    maps[:5], maps[20:25] = maps[copied[:5]], maps[copied[5:]]
    found = exact_neighbours(maps, 6)
    assert copies(maps, found) == 20
    assert copies(maps[:1], exact_neighbours(maps[:1], 6)) == 0
    wide = np.zeros((30, 3000), dtype)  # alike at a glance
    wide[np.arange(30), 2000 + np.arange(30)] = 1
    wide[4] = wide[9]
    assert copies(wide, exact_neighbours(wide, 4)) == 2


@pytest.mark.parametrize(
    "device",
    [
        "cpu:0",  # by torch
        pytest.param(
            "cuda",
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
            ],
        ),
    ],
)
@pytest.mark.parametrize("n", [300, 2100])  # products in float64 and in float32
def test_torch_finds_the_same_neighbours(device: str, n: int) -> None:
    maps = np.random.default_rng(0).normal(size=(n, 60)).astype(np.float32)
    ours = exact_neighbours(maps, 8, memory_mb=1.0)
    theirs = exact_neighbours(maps, 8, memory_mb=1.0, device=device)
    assert (ours.indices == theirs.indices).mean() > 0.999
    np.testing.assert_allclose(ours.squared, theirs.squared, rtol=1e-4, atol=1e-3)


def test_umap_keeps_groups_together() -> None:
    pytest.importorskip("umap", reason="needs umap-learn: pip install 'bids_xai[umap]'")
    features, truth = _planted((30, 30), 12.0)
    points = spray(features, embedding="umap").embedding
    assert points.shape == (60, 2)
    middles = [points[truth == group].mean(axis=0) for group in (0, 1)]
    own = np.array([np.linalg.norm(points - middle, axis=1) for middle in middles])
    assert (own.argmin(axis=0) == truth).all()


def test_unknown_and_missing_embeddings_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    features, _ = _planted((10, 10), 9.0)
    with pytest.raises(UsageError, match="tsne, umap"):
        spray(features, embedding="pca")
    monkeypatch.setattr("bids_xai.core.spray.embedding.find_spec", lambda _: None)
    with pytest.raises(UsageError, match="UMAP is not installed"):
        spray(features, embedding="umap")
