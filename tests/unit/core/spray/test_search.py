"""Approximate neighbours: projections keep distances, recall is measured and true."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.core.spray import search as spray_search
from bids_xai.core.spray.clusters import spray
from bids_xai.core.spray.neighbours import exact_neighbours, squared_distances
from bids_xai.core.spray.search import approximate_neighbours, project


def _maps(n: int = 400, p: int = 3000) -> np.ndarray:
    """Mixtures of a few smooth shapes, with noise."""
    rng = np.random.default_rng(0)
    shapes = np.cumsum(rng.normal(size=(25, p)), axis=1) / 30
    return (rng.normal(size=(n, 25)) @ shapes + rng.normal(size=(n, p))).astype(np.float32)


def test_projections_keep_distances() -> None:
    maps = _maps(60)
    true = squared_distances(maps)[np.triu_indices(60, 1)]
    small = squared_distances(project(maps, 800, memory_mb=1))[np.triu_indices(60, 1)]
    assert abs(np.mean(small / true) - 1) < 0.03
    assert np.std(small / true) < 1.5 * np.sqrt(2 / 800)


def test_nearly_all_true_neighbours_are_found_and_counted() -> None:
    maps = _maps()
    true = exact_neighbours(maps, 12)
    found = approximate_neighbours(maps, 12, dimensions=200, memory_mb=8)
    np.testing.assert_array_equal(found.indices[:, 0], np.arange(400))
    shared = [len(set(a) & set(b)) - 1 for a, b in zip(true.indices, found.indices, strict=True)]
    recall = np.sum(shared) / (400 * 11)
    assert recall >= 0.95
    assert found.recall == pytest.approx(recall, abs=0.03)
    same = found.indices == true.indices
    np.testing.assert_allclose(found.squared[same], true.squared[same], rtol=1e-4)


def test_a_poor_search_says_so() -> None:
    noise = np.random.default_rng(1).normal(size=(300, 2000)).astype(np.float32)
    poor = approximate_neighbours(noise, 12, dimensions=4, candidates=1)
    assert poor.recall is not None
    assert poor.recall < 0.3
    result = spray(noise, approximate_from=100)
    assert any("searched approximately" in note for note in result.notes)


def test_few_voxels_are_searched_as_they_are() -> None:
    maps = _maps(100, 50)
    found = approximate_neighbours(maps, 5, dimensions=64)
    assert found.recall == 1.0
    np.testing.assert_array_equal(found.indices, exact_neighbours(maps, 5).indices)


class _Library:
    """What ``pynndescent`` offers; it misses a map itself and gives up on others."""

    def __init__(self, data: np.ndarray, n_neighbors: int, random_state: int) -> None:
        indices = exact_neighbours(data, n_neighbors).indices
        indices[3] = indices[3][-1]
        indices[5, 2:] = -1
        self.neighbor_graph = (indices, None)


def test_the_library_is_asked_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spray_search, "find_spec", lambda _: object())
    fake = type("module", (), {"NNDescent": _Library})
    monkeypatch.setattr(spray_search, "import_module", lambda _: fake)
    maps = _maps(150)
    found = approximate_neighbours(maps, 6, dimensions=200, library_from=1)
    true = exact_neighbours(maps, 6)
    np.testing.assert_array_equal(found.indices[:, 0], np.arange(150))
    assert all(len(set(row)) == 6 for row in found.indices)
    others = np.delete(np.arange(150), [3, 5])
    assert (found.indices[others] == true.indices[others]).mean() > 0.95
