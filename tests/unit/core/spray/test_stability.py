"""What survives other seeds, neighbours and samples, and what does not."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from bids_xai.core.spray.clusters import spray
from bids_xai.core.spray.neighbours import squared_distances
from bids_xai.core.spray.stability import best_jaccard, sample_graph, stability


def _blobs(sizes: tuple[int, ...], distance: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(len(sizes)), sizes)
    return np.eye(20)[truth] * distance / np.sqrt(2) + rng.normal(size=(truth.size, 20))


def test_separate_groups_survive() -> None:
    found = stability(spray(_blobs((30, 25, 35), 9.0)))
    assert found.survives.all()
    assert found.clusters.min() > 0.95
    for what in ("seed", "neighbours", "bootstrap"):
        assert found.mean_ari(what) > 0.95
    assert found.share_of_same_number() > 0.9
    assert {run.value for run in found.runs if run.what == "neighbours"} == {6, 9, 18, 24}


def test_a_divided_cloud_does_not_survive() -> None:
    result = spray(_blobs((80,), 0.0), n_clusters=5)
    found = stability(result, bootstraps=20)
    assert not found.survives.all()
    assert found.mean_ari("bootstrap") < 0.7


def test_one_group_and_few_maps() -> None:
    one = stability(spray(_blobs((40,), 0.0), n_clusters=1), bootstraps=5)
    np.testing.assert_array_equal(one.clusters, 1.0)
    for n in (1, 2, 3, 5):
        few = stability(spray(np.random.default_rng(n).normal(size=(n, 4))), bootstraps=5)
        assert few.clusters.shape == (1,)
        assert np.isfinite(few.clusters).all()


def test_the_graph_of_a_sample_is_that_of_the_sample_alone() -> None:
    maps = _blobs((20, 20), 3.0)
    result = spray(maps, n_neighbors=10)
    every = np.argsort(squared_distances(maps), axis=1)
    sample = np.sort(np.random.default_rng(2).choice(40, 24, replace=False))
    indices, valid = sample_graph(every, sample, 40, 10)
    wanted = np.argsort(squared_distances(maps[sample]), axis=1)[:, :6]  # 10 · 24 / 40
    for own, used, true in zip(indices, valid, wanted, strict=True):
        assert set(own[used]) == set(true)
    _, valid = sample_graph(result.neighbours.indices[:, :10], sample, 40, 10)
    assert (valid.sum(axis=1) <= 6).all()
    assert (valid[:, 0]).all()


def test_jaccard_against_scikit_learn() -> None:
    rng = np.random.default_rng(4)
    truth, labels = rng.integers(3, size=50), rng.integers(4, size=50)
    slow = [max(jaccard_score(truth == a, labels == b) for b in range(4)) for a in range(3)]
    np.testing.assert_allclose(best_jaccard(truth, labels, 3), slow)
    assert np.isnan(best_jaccard(truth, labels, 4)[3])
    assert best_jaccard(truth, truth, 3) == pytest.approx([1, 1, 1])
