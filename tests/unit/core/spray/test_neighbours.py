"""Nearest maps: those of a slow search, whatever the blocks, types and devices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from planted_maps import planted
from sklearn.neighbors import kneighbors_graph

from bids_xai.core.spray.clusters import neighbour_affinity, squared_distances
from bids_xai.core.spray.neighbours import Blocks, exact_neighbours, precision


def test_neighbours_are_those_of_scikit_learn() -> None:
    """Distances by matrix products of blocks, against its search, with an offset."""
    rng = np.random.default_rng(8)
    for n, p in ((7, 3), (30, 5000)):
        features = (rng.normal(size=(n, p)) + 50).astype(np.float32)
        slow = ((features[:, None].astype(np.float64) - features[None]) ** 2).sum(axis=2)
        assert np.allclose(squared_distances(features, block=1000), slow, rtol=1e-9, atol=1e-9)
        graph = kneighbors_graph(features, 5, mode="connectivity", include_self=True).toarray()
        assert np.array_equal(neighbour_affinity(features, 5).toarray(), 0.5 * (graph + graph.T))


def test_blocks_and_types_of_maps_change_nothing(tmp_path: Path) -> None:
    """Small blocks, single precision and a file on disk: the same neighbours."""
    features, _ = planted((130, 90, 80), 5.0)
    wide = np.hstack([features, np.zeros((300, 700), np.float32)])
    whole = exact_neighbours(wide, 20)
    file = np.lib.format.open_memmap(tmp_path / "maps.npy", "w+", np.float32, wide.shape)
    file[:] = wide
    few = exact_neighbours(file, 20, memory_mb=0.5)  # blocks of 181 maps
    np.testing.assert_array_equal(whole.indices, few.indices)
    np.testing.assert_allclose(whole.squared, few.squared, rtol=1e-9, atol=1e-9)
    slow = np.argsort(((wide[:, None, :20] - wide[None, :, :20]) ** 2).sum(-1), axis=1)[:, :20]
    np.testing.assert_array_equal(whole.indices, slow)
    single = exact_neighbours(np.vstack([wide] + [wide + i for i in range(1, 7)]), 5)
    np.testing.assert_array_equal(single.indices[:300], whole.indices[:, :5])


@pytest.mark.parametrize("memory_mb", [0.2, 1.0, 1024.0])
@pytest.mark.parametrize("n", [300, 2100])  # products in float64 and in float32
def test_distances_are_true_in_every_block(memory_mb: float, n: int) -> None:
    """Maps far from zero, more blocks than one: neighbours and distances of the differences."""
    maps = (np.random.default_rng(2).normal(size=(n, 50)) + 20).astype(np.float32)
    nearest = exact_neighbours(maps, 6, memory_mb=memory_mb)
    for row in range(0, n, 97):
        squared = ((maps[row].astype(np.float64) - maps) ** 2).sum(axis=1)
        np.testing.assert_array_equal(nearest.indices[row], np.argsort(squared)[:6])
        np.testing.assert_allclose(nearest.squared[row], np.sort(squared)[:6], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("memory_mb", [64.0, 1024.0])
def test_blocks_keep_within_the_memory(memory_mb: float) -> None:
    """Sums in float64, the maps of both sides, and a strip with its order, together."""
    for n in (1000, 8000, 100_000):
        blocks = Blocks.within(memory_mb, n)
        sums = 8 * blocks.rows**2
        maps = 2 * blocks.rows * blocks.columns * precision(n).itemsize
        strip = 16 * blocks.strip * blocks.rows
        assert sums + maps + strip <= memory_mb * 2**20


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
