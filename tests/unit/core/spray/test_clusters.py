"""SpRAy on planted clusters and on the edges of its domain."""

from __future__ import annotations

import numpy as np
import pytest
from planted_maps import planted
from sklearn.cluster import SpectralClustering
from sklearn.datasets import make_moons
from sklearn.metrics import adjusted_rand_score

from bids_xai.core.spray.clusters import copies, neighbour_affinity, spray
from bids_xai.core.spray.neighbours import exact_neighbours
from bids_xai.errors import BadDataError, UsageError


@pytest.mark.parametrize("distance", [9.0, 60.0])
def test_planted_clusters_are_found(distance: float) -> None:
    features, truth = planted((25, 35, 45), distance)
    result = spray(features)
    assert result.n_clusters == 3
    assert adjusted_rand_score(truth, result.labels) == 1.0
    assert result.gaps.argmax() + 1 == 3
    assert result.embedding.shape == (105, 2)
    centres = np.array([result.embedding[truth == k].mean(axis=0) for k in range(3)])
    nearest = ((result.embedding[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == truth).mean() > 0.95


def test_unconnected_graph_is_noted() -> None:
    features, _ = planted((20, 20), 1000.0)
    result = spray(features)
    assert result.n_components == 2
    assert any("2 unconnected parts" in note for note in result.notes)
    connected = spray(planted((40,), 0.0)[0])
    assert connected.n_components == 1
    assert connected.notes == ()


def test_the_seed_decides() -> None:
    features, _ = planted((20, 20), 4.0)
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
    features, _ = planted((20, 20), 9.0)
    assert set(spray(features, n_clusters=4).labels) == {0, 1, 2, 3}
    np.testing.assert_array_equal(spray(features, n_clusters=1).labels, 0)
    assert spray(planted((20, 20, 20), 60.0)[0], max_clusters=2).n_clusters <= 2


def test_the_input_is_left_alone() -> None:
    features, _ = planted((8, 8), 5.0)
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


def test_more_parts_than_clusters_are_allowed() -> None:
    """Twelve pairs of copies far apart: nothing but zeros, and it is said."""
    features = np.repeat(np.eye(12) * 100, 4, axis=0)
    result = spray(features, n_neighbors=3)
    assert result.n_components == 12
    np.testing.assert_array_equal(result.eigenvalues, 0)
    assert result.n_clusters == 9  # as many as are allowed: more would be right
    assert any("more parts than the maximum of 9 clusters" in note for note in result.notes)
    assert any("exact copy" in note for note in result.notes)
    assert len(set(spray(features, 3, n_clusters=12).labels)) == 12


@pytest.mark.filterwarnings("ignore:Graph is not fully connected")
def test_labels_are_those_of_scikit_learn() -> None:
    blobs, truth = planted((40, 50, 60), 12.0, seed=1)
    moons, sides = make_moons(200, noise=0.05, random_state=0)
    for features, wanted, k in ((blobs, truth, 3), (moons, sides, 2)):
        ours = spray(features, n_clusters=k).labels
        theirs = SpectralClustering(
            k, affinity="precomputed", assign_labels="kmeans", random_state=0
        ).fit_predict(neighbour_affinity(features, 12).toarray())
        assert adjusted_rand_score(ours, theirs) == 1.0
        assert adjusted_rand_score(ours, wanted) == 1.0


@pytest.mark.parametrize("distance", [4.0, 6.0, 40.0])
def test_the_order_of_maps_does_not_matter(distance: float) -> None:
    features, _ = planted((30, 25, 20), distance)
    order = np.random.default_rng(1).permutation(len(features))
    one, other = spray(features), spray(features[order])
    np.testing.assert_allclose(one.eigenvalues, other.eigenvalues, atol=1e-10)
    assert one.n_clusters == other.n_clusters
    assert adjusted_rand_score(one.labels[order], other.labels) == 1.0


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
