"""The picture of the graph: sparse distances as the dense ones, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from planted_maps import planted
from sklearn.neighbors import kneighbors_graph

from bids_xai.core.spray.clusters import spray
from bids_xai.core.spray.embedding import graph_distances
from bids_xai.errors import UsageError


def test_many_maps_take_the_sparse_road() -> None:
    """Beyond the limit of dense distances t-SNE sees a sparse graph; the nearest are the same."""
    features, _ = planted((60, 60), 9.0)
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


def test_umap_keeps_groups_together() -> None:
    pytest.importorskip("umap", reason="needs umap-learn: pip install 'bids_xai[umap]'")
    features, truth = planted((30, 30), 12.0)
    points = spray(features, embedding="umap").embedding
    assert points.shape == (60, 2)
    middles = [points[truth == group].mean(axis=0) for group in (0, 1)]
    own = np.array([np.linalg.norm(points - middle, axis=1) for middle in middles])
    assert (own.argmin(axis=0) == truth).all()


def test_unknown_and_missing_embeddings_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    features, _ = planted((10, 10), 9.0)
    with pytest.raises(UsageError, match="tsne, umap"):
        spray(features, embedding="pca")
    monkeypatch.setattr("bids_xai.core.spray.embedding.find_spec", lambda _: None)
    with pytest.raises(UsageError, match="UMAP is not installed"):
        spray(features, embedding="umap")
