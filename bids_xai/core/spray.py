r"""Spectral relevance analysis (SpRAy): which strategies does a classifier follow?

Nearest-neighbour affinity :math:`A` of maps, normalised Laplacian
:math:`L = I - D^{-1/2} A D^{-1/2}`, number of clusters from its largest eigengap, labels by
k-means on the spectral embedding, a picture by t-SNE.

Source: Lapuschkin et al. 2019 (Nat. Commun. 10, 1096); Tinauer et al. 2025, section II F;
von Luxburg 2007 (eigengap).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from sklearn.cluster import KMeans
from sklearn.manifold import TSNE

from bids_xai.errors import BadDataError, UsageError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PERPLEXITY = 12.0
FEWEST_FOR_TSNE = 4
_TSNE_SPREAD = 1e-4  # standard deviation at which t-SNE wants its start


@dataclass(frozen=True, kw_only=True)
class SprayResult:
    """Clusters of maps.

    eigenvalues : (m,) smallest of the normalised Laplacian, ascending, m = min(n, 10)
    gaps : (m - 1,) differences of neighbouring eigenvalues; gaps[k - 1] speaks for k clusters
    n_clusters : chosen (or given) number of clusters
    labels : (n,) cluster of each map, from 0
    embedding : (n, 2) t-SNE, arbitrary units
    n_components : connected components of the neighbour graph
    notes : what a reader of the result must know, in words
    """

    eigenvalues: Floats
    gaps: Floats
    n_clusters: int
    labels: Ints
    embedding: Floats
    n_components: int
    notes: tuple[str, ...]


def spray(
    features: npt.NDArray[np.floating[Any]],
    *,
    neighbours: int = 12,
    max_clusters: int = 9,
    seed: int = 0,
    n_clusters: int | None = None,
) -> SprayResult:
    """Cluster maps.

    features : (n, p), one flattened map a row, finite; not normalised here
    neighbours : k of the graph, each map counting itself as its first
    max_clusters : largest number of clusters the eigengap may choose
    seed : of k-means and t-SNE
    n_clusters : take this number instead of the eigengap's
    Raises ``BadDataError`` for no or undefined maps, ``UsageError`` for impossible numbers.
    """
    n = _check(features, neighbours, max_clusters, n_clusters)
    used = min(neighbours, n)
    affinity = neighbour_affinity(features, used)
    n_components = int(connected_components(csr_array(affinity), directed=False)[0])
    values, vectors = _smallest_eigenpairs(normalised_laplacian(affinity), max_clusters + 1)
    gaps = np.diff(values)
    chosen = n_clusters or _largest_gap(gaps, max_clusters)
    labels = _cluster(vectors[:, :chosen], affinity, chosen, seed)
    return SprayResult(
        eigenvalues=values,
        gaps=gaps,
        n_clusters=chosen,
        labels=labels,
        embedding=_picture(affinity, vectors, seed),
        n_components=n_components,
        notes=_notes(n, neighbours, used, n_components),
    )


def neighbour_affinity(features: npt.NDArray[np.floating[Any]], neighbours: int) -> Floats:
    """Symmetric k-nearest-neighbour affinity (n, n), values 0, 1/2, 1; the diagonal is 1.

    Without the self-loops the Laplacian would lose its gap. Equally near maps count in the order
    of their rows.
    """
    distances = squared_distances(features)
    np.fill_diagonal(distances, -1.0)  # each map is its own first neighbour, duplicates or not
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :neighbours]
    directed: Floats = np.zeros(distances.shape)
    np.put_along_axis(directed, nearest, 1.0, axis=1)
    affinity: Floats = 0.5 * (directed + directed.T)
    return affinity


def squared_distances(features: npt.NDArray[np.floating[Any]], block: int = 65536) -> Floats:
    """Squared Euclidean distances (n, n) of maps (n, p), by matrix products of blocks of voxels.

    In float64, of maps less their mean, so that little is lost to cancellation: about 1e-15 of
    the squared distances from the mean. scikit-learn's search is made for many short rows; on
    a few maps of a million voxels it took many times as long.
    """
    n, p = features.shape
    products: Floats = np.zeros((n, n))
    for first in range(0, p, block):
        part = features[:, first : first + block].astype(np.float64)
        part -= part.mean(axis=0)
        products += part @ part.T
    squares = np.diagonal(products)
    distances: Floats = np.maximum(squares[:, None] + squares[None, :] - 2 * products, 0.0)
    return distances


def normalised_laplacian(affinity: Floats) -> Floats:
    r""":math:`I - D^{-1/2} A D^{-1/2}` (n, n); positive semi-definite, eigenvalues in [0, 2]."""
    scale = 1.0 / np.sqrt(affinity.sum(axis=1))
    laplacian: Floats = np.eye(len(affinity)) - scale[:, None] * affinity * scale[None, :]
    return laplacian


def _check(
    features: npt.NDArray[np.floating[Any]],
    neighbours: int,
    max_clusters: int,
    n_clusters: int | None,
) -> int:
    """The number of maps, once everything is in order."""
    if features.ndim != 2 or 0 in features.shape or not np.isfinite(features).all():
        raise BadDataError(
            f"Maps to cluster must be finite and at least one, got an array {features.shape}",
            fix="check that relevance maps were written for this group",
        )
    n = len(features)
    if neighbours < 1 or max_clusters < 1 or not 1 <= (n_clusters or 1) <= n or n_clusters == 0:
        raise UsageError(
            f"{n} maps, {neighbours} neighbours and {n_clusters or max_clusters} clusters "
            "do not go together",
            fix=f"ask for at least 1 neighbour and for 1 to {n} clusters",
        )
    return n


def _smallest_eigenpairs(laplacian: Floats, count: int) -> tuple[Floats, Floats]:
    """Ascending eigenvalues (m,) and eigenvectors (n, m), each vector's largest entry positive."""
    last = min(count, len(laplacian)) - 1
    values, vectors = eigh(laplacian, subset_by_index=[0, last])
    strongest = np.abs(vectors).argmax(axis=0)
    signs = np.sign(vectors[strongest, np.arange(vectors.shape[1])])
    return np.clip(values, 0.0, 2.0), vectors * signs


def _largest_gap(gaps: Floats, max_clusters: int) -> int:
    """k in 1..max_clusters with the largest gap between eigenvalues k and k + 1; first of ties.

    Gaps closer than rounding count as ties.
    """
    allowed = gaps[:max_clusters]
    if not allowed.size:
        return 1
    return int(np.argmax(allowed >= allowed.max() - 1e-10)) + 1


def _cluster(vectors: Floats, affinity: Floats, k: int, seed: int) -> Ints:
    r"""Labels (n,) by k-means on the rows of :math:`D^{-1/2} U`.

    The division makes rows equal within a connected component, as in scikit-learn; rows are not
    brought to unit length.
    """
    rows = vectors / np.sqrt(affinity.sum(axis=1))[:, None]
    kmeans = KMeans(k, n_init=10, random_state=seed)
    labels: Ints = kmeans.fit_predict(rows).astype(np.int64)
    return labels


def _picture(affinity: Floats, vectors: Floats, seed: int) -> Floats:
    """t-SNE (n, 2) with distance 1 / (A + 1e-3), started from the Laplacian's eigenvectors.

    The start is eigenvectors 2 and 3, scaled to the spread that t-SNE expects. Below four maps
    it is returned as it is: no perplexity makes sense there.
    """
    n = len(affinity)
    start = np.zeros((n, 2))
    start[:, : min(n - 1, 2)] = vectors[:, 1:3]
    if n < FEWEST_FOR_TSNE:
        return start
    distance = 1.0 / (affinity + 1e-3)
    np.fill_diagonal(distance, 0.0)
    start *= _TSNE_SPREAD / start.std(axis=0).max()
    tsne = TSNE(
        metric="precomputed",
        init=start.astype(np.float32),
        perplexity=min(PERPLEXITY, (n - 1) / 3),
        learning_rate="auto",
        random_state=seed,
    )
    embedding: Floats = tsne.fit_transform(distance).astype(np.float64)
    return embedding


def _notes(n: int, neighbours: int, used: int, n_components: int) -> tuple[str, ...]:
    notes = []
    if used < neighbours:
        notes.append(f"only {n} maps: {used} neighbours instead of {neighbours}")
    if n_components > 1:
        notes.append(
            f"the neighbour graph falls into {n_components} unconnected parts: as many "
            "eigenvalues are zero, and the eigengap cannot join the parts"
        )
    if n < FEWEST_FOR_TSNE:
        notes.append(f"only {n} maps: the picture shows eigenvectors, not t-SNE")
    return tuple(notes)
