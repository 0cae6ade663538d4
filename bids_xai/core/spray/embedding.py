"""A picture of the neighbour graph in two dimensions: t-SNE, or UMAP where it is installed."""

from __future__ import annotations

import warnings
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from bids_xai.arrays import Floats64
from bids_xai.core.spray.neighbours import Neighbours
from bids_xai.errors import UsageError

EMBEDDINGS = ("tsne", "umap")
PERPLEXITY = 12.0
FEWEST = 4
"""With fewer maps there is no picture but the eigenvectors themselves."""

DENSE_UP_TO = 3000
"""Up to so many maps t-SNE sees all distances; beyond, those of the nearest maps."""

_TSNE_SPREAD = 1e-4  # standard deviation at which t-SNE wants its start
_FAR = 1e-3  # added to an affinity before it is turned into a distance


def neighbours_needed(n: int, n_neighbors: int) -> int:
    """How many neighbours the graph of ``n`` maps, its picture and its stability need of each."""
    return min(n, max(2 * n_neighbors, int(3 * PERPLEXITY) + 2))


def check_embedding(kind: str) -> None:
    """Raise ``UsageError`` for another kind of picture, and for UMAP where it is not installed."""
    if kind not in EMBEDDINGS:
        raise UsageError(f"no embedding '{kind}'", fix=f"choose one of {', '.join(EMBEDDINGS)}")
    if kind == "umap" and find_spec("umap") is None:
        raise UsageError(
            "UMAP is not installed", fix="pip install 'bids_xai[umap]', or use embedding = \"tsne\""
        )


def picture(
    kind: str, affinity: Any, vectors: Floats64, neighbours: Neighbours, *, k: int, seed: int
) -> Floats64:
    """Points (n, 2), started from the second and third eigenvector.

    kind : ``tsne`` or ``umap``; affinity : sparse (n, n); vectors : (n, m) of the Laplacian
    k : neighbours of the graph
    Raises what :func:`check_embedding` raises.
    """
    check_embedding(kind)
    n = affinity.shape[0]
    start = np.zeros((n, 2))
    start[:, : max(0, min(vectors.shape[1] - 1, 2))] = vectors[:, 1:3]
    if n < FEWEST:
        return start
    return (
        _umap(start, neighbours, k, seed)
        if kind == "umap"
        else _tsne(start, affinity, neighbours, seed)
    )


def _tsne(start: Floats64, affinity: Any, neighbours: Neighbours, seed: int) -> Floats64:
    """t-SNE with the distance 1 / (A + 1e-3)."""
    from sklearn.manifold import TSNE

    n = affinity.shape[0]
    spread = start.std(axis=0).max()
    begin = start * (_TSNE_SPREAD / spread if spread > 0 else 0.0)
    tsne = TSNE(
        metric="precomputed",
        init=begin.astype(np.float32),
        perplexity=min(PERPLEXITY, (n - 1) / 3),
        learning_rate="auto",
        random_state=seed,
    )
    embedding: Floats64 = tsne.fit_transform(graph_distances(affinity, neighbours))
    return embedding.astype(np.float64)


def graph_distances(affinity: Any, neighbours: Neighbours, dense_up_to: int = DENSE_UP_TO) -> Any:
    """Distances 1 / (A + 1e-3) (n, n), the diagonal 0: an array, or sparse for many maps.

    The sparse form holds the pairs of the graph, and as far away as all others each map's nearest
    maps outside of it, so that t-SNE finds as many as its perplexity needs.
    """
    n = affinity.shape[0]
    if n <= dense_up_to:
        dense: Floats64 = 1.0 / (affinity.toarray() + _FAR)
        np.fill_diagonal(dense, 0.0)
        return dense
    from sklearn.neighbors import sort_graph_by_row_values

    near = neighbours.indices[:, 1 : neighbours_needed(n, 1)]
    rows = np.repeat(np.arange(n), near.shape[1])
    others = csr_array((np.full(rows.size, 1e-9), (rows, near.ravel())), shape=(n, n))
    joined = csr_array(affinity + others)  # 1e-9: stored, but no affinity
    joined.data = 1.0 / (joined.data + _FAR)
    joined.setdiag(0.0)  # stored: scikit-learn takes each map's first for the map itself
    return sort_graph_by_row_values(joined, copy=True, warn_when_not_sorted=False)


def _umap(start: Floats64, neighbours: Neighbours, k: int, seed: int) -> Floats64:
    """UMAP of the neighbours that were found, started as t-SNE is, but at its own scale."""
    library: Any = import_module("umap")
    indices = neighbours.indices[:, :k]
    distances = np.sqrt(neighbours.squared[:, :k])
    spread = np.abs(start).max()
    nearest = (indices, distances.astype(np.float32))
    mapper = library.UMAP(
        n_neighbors=indices.shape[1],
        precomputed_knn=nearest,
        random_state=seed,
        n_jobs=1,
        init=(start * (10.0 / spread if spread > 0 else 0.0)).astype(np.float32),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # new maps cannot be added: none will be
        points: Floats64 = np.asarray(mapper.fit_transform(np.zeros((len(start), 1), np.float32)))
    return points.astype(np.float64)
