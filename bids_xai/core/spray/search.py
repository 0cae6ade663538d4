"""Nearest neighbours among very many maps: random projection, a quick search, then the truth.

1. Every map is projected on random directions, which keeps distances to a few per cent.
2. Candidates, several times as many as are wanted, are searched among the projections: exactly, or
   with the library ``pynndescent`` where it is installed and there are many maps.
3. Candidates are put in order by their true distances.
4. The share of the true neighbours that were found is measured on a sample of maps.

Source: Johnson and Lindenstrauss 1984; Dong, Moses and Li 2011 (nearest-neighbour descent).
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_xai.arrays import Floats32, Ints
from bids_xai.core.spray.neighbours import (
    MEMORY_MB,
    Centred,
    Maps,
    Neighbours,
    exact_neighbours,
    smallest_columns,
)

LIBRARY = "pynndescent"
DIMENSIONS = 1024
LIBRARY_FROM = 30_000
"""From so many maps on the library searches the projections, where it is installed."""

_CANDIDATES = 2  # times the neighbours wanted, which are some more than the graph uses
_SAMPLE = 100  # maps on which the recall is measured


def approximate_neighbours(
    features: Maps,
    count: int,
    *,
    dimensions: int = DIMENSIONS,
    candidates: int = _CANDIDATES,
    library_from: int = LIBRARY_FROM,
    memory_mb: float = MEMORY_MB,
    seed: int = 0,
    device: str = "cpu",
) -> Neighbours:
    """The ``count`` nearest maps of every map, itself included, nearly all of them the true ones.

    features : (n, p) float16, float32 or float64; may be memory-mapped, is read in blocks
    dimensions : of the random projection; where p is no larger, maps are searched as they are
    candidates : so many times ``count`` are put in order by their true distance
    library_from : see :data:`LIBRARY_FROM`
    memory_mb : bound of the working memory, beside the projections (n · dimensions · 4 bytes)
    device : as of :func:`exact_neighbours`
    Raises ``BadDataError`` for maps that are not finite.
    """
    n, p = features.shape
    count = min(count, n)
    centred = Centred.of(features, device)
    small = features if p <= dimensions else project(features, dimensions, memory_mb, seed)
    n_candidates = min(n, candidates * count)
    if n >= library_from and find_spec(LIBRARY) is not None:
        near = _by_library(small, n_candidates, seed)
    else:
        near = exact_neighbours(small, n_candidates, memory_mb=memory_mb, device=device).indices
    nearest = _in_true_order(centred, near, count, memory_mb)
    return Neighbours(*nearest, recall=_recall(centred, nearest[0], memory_mb, seed))


def project(
    features: Maps, dimensions: int, memory_mb: float = MEMORY_MB, seed: int = 0
) -> Floats32:
    """Maps (n, p) on ``dimensions`` random directions, (n, dimensions); distances keep their scale.

    The directions are normal and independent, drawn block by block and never all at hand.
    """
    n, p = features.shape
    rng = np.random.default_rng(seed)
    width = max(64, int(memory_mb * 2**20 / 4 / (4 * dimensions)))
    height = max(64, int(memory_mb * 2**20 / 4 / (4 * width)))
    result = np.zeros((n, dimensions), np.float32)
    for start in range(0, p, width):
        columns = slice(start, min(start + width, p))
        directions = rng.standard_normal((columns.stop - start, dimensions), dtype=np.float32)
        directions /= np.float32(np.sqrt(dimensions))
        for row in range(0, n, height):
            part = features[row : row + height, columns].astype(np.float32)
            result[row : row + height] += part @ directions
    return result


def _by_library(small: Maps, count: int, seed: int) -> Ints:
    """Candidates (n, count) by nearest-neighbour descent, each map among its own."""
    library: Any = import_module(LIBRARY)
    index = library.NNDescent(np.asarray(small, np.float32), n_neighbors=count, random_state=seed)
    near: Ints = np.asarray(index.neighbor_graph[0], np.int64)
    itself = np.arange(len(near))
    missing = (near != itself[:, None]).all(axis=1)
    near[missing, -1] = itself[missing]
    return np.where(near < 0, itself[:, None], near)  # -1: none was found


def _in_true_order(
    centred: Centred, near: Ints, count: int, memory_mb: float
) -> tuple[Ints, npt.NDArray[Any]]:
    """The nearest ``count`` of each map's candidates (n, m) by true distance, and its square."""
    n, width = len(near), max(256, int(memory_mb * 2**20 / 16 / near.shape[1]))
    indices, squared = np.zeros((n, count), np.int64), np.zeros((n, count))
    for row in range(n):
        others = np.unique(near[row])
        if len(others) < count:  # the library found the same map twice
            others = np.append(others, np.setdiff1d(np.arange(n), others)[: count - len(others)])
        distances = _distances_to(centred.maps, row, others, width)
        distances[others == row] = -1.0
        nearest = smallest_columns(distances[None], count)[0]
        indices[row], squared[row] = others[nearest], np.maximum(distances[nearest], 0.0)
    return indices, squared


def _distances_to(maps: Maps, row: int, others: Ints, width: int) -> npt.NDArray[Any]:
    """Squared distances (m,) of one map to others, ``width`` voxels at a time."""
    distances = np.zeros(len(others))
    for start in range(0, maps.shape[1], width):
        part = slice(start, start + width)
        difference = maps[others, part].astype(np.float32) - maps[row, part]
        distances += np.einsum("ij,ij->i", difference, difference, dtype=np.float32)
    return distances


def _recall(centred: Centred, indices: Ints, memory_mb: float, seed: int) -> float:
    """Share of the true neighbours (without the map itself) among those found, on a sample."""
    n, count = indices.shape
    if count < 2:
        return 1.0
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(n, size=min(n, _SAMPLE), replace=False))
    width = max(256, int(memory_mb * 2**20 / 4 / (8 * n)))
    distances = centred.distances(rows, slice(0, n), width)
    distances[np.arange(len(rows)), rows] = -1.0
    truth = smallest_columns(distances, count)[:, 1:]
    hits = [np.isin(true, row).sum() for true, row in zip(truth, indices[rows], strict=True)]
    return float(np.sum(hits) / truth.size)
