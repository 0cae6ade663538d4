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

from bids_xai.arrays import Floats64, Ints
from bids_xai.core.spray.embedding import FEWEST, check_embedding, neighbours_needed, picture
from bids_xai.core.spray.features import feature_row
from bids_xai.core.spray.graph import (
    Spectrum,
    cluster_rows,
    embedding_rows,
    graph_affinity,
    largest_gap,
    neighbour_affinity,
    normalised_laplacian,
    smallest_eigenpairs,
)
from bids_xai.core.spray.neighbours import (
    MEMORY_MB,
    Maps,
    Neighbours,
    exact_neighbours,
    squared_distances,
)
from bids_xai.core.spray.search import approximate_neighbours
from bids_xai.errors import BadDataError, UsageError

__all__ = [
    "SprayResult",
    "neighbour_affinity",
    "normalised_laplacian",
    "spray",
    "squared_distances",
]

N_NEIGHBORS = 12
APPROXIMATE_FROM = 20_000
"""From so many maps on neighbours are searched approximately."""

LEAST_RECALL = 0.95

_GLANCE = 1024  # voxels that are compared first


@dataclass(frozen=True, kw_only=True)
class SprayResult:
    """Clusters of maps.

    eigenvalues : (m,) smallest of the normalised Laplacian, ascending, m = min(n, 10)
    gaps : (m - 1,) differences of neighbouring eigenvalues; gaps[k - 1] speaks for k clusters
    n_clusters : chosen (or given) number of clusters
    labels : (n,) cluster of each map, from 0
    embedding : (n, 2) t-SNE, arbitrary units
    affinity : (n, n) sparse, symmetric, values 1/2 and 1, ones on the diagonal
    vectors : (n, m') eigenvectors of the Laplacian, one a column, those of ``eigenvalues`` first
    n_components : connected components of the neighbour graph
    neighbours : nearest maps of every map, some more than the graph uses
    n_neighbors : how many the graph uses
    notes : what a reader of the result must know, in words
    """

    eigenvalues: Floats64
    gaps: Floats64
    n_clusters: int
    labels: Ints
    embedding: Floats64
    affinity: Any
    vectors: Floats64
    n_components: int
    neighbours: Neighbours
    n_neighbors: int
    notes: tuple[str, ...]


def spray(
    features: Maps,
    n_neighbors: int = N_NEIGHBORS,
    seed: int = 0,
    *,
    max_clusters: int = 9,
    n_clusters: int | None = None,
    kind: str = "plain",
    embedding: str = "tsne",
    memory_mb: float = MEMORY_MB,
    approximate_from: int = APPROXIMATE_FROM,
    device: str = "cpu",
) -> SprayResult:
    """Cluster maps.

    features : (n, p), one flattened map a row, finite; may be memory-mapped, float16 or float32
    n_neighbors : k of the graph, each map counting itself as its first
    seed : of k-means, t-SNE and random projections
    max_clusters : largest number of clusters the eigengap may choose
    n_clusters : take this number instead of the eigengap's
    kind : what of a map is compared, a key of ``core.spray.features.FEATURES``; anything but
        ``plain`` makes a copy of the maps in memory
    embedding : ``tsne``, or ``umap`` where that is installed
    memory_mb : bound of the working memory of the search, beside the maps
    approximate_from : from so many maps on the search is approximate, its recall is measured
    device : ``cpu``, or of torch (``cuda``) for the distances between maps
    Raises ``BadDataError`` for no or undefined maps, ``UsageError`` for impossible numbers.
    """
    n = _check(features, n_neighbors, max_clusters, n_clusters)
    check_embedding(embedding)
    if kind != "plain":
        features = np.stack([feature_row(row, kind) for row in features])
    used = min(n_neighbors, n)
    neighbours = find_neighbours(
        features, neighbours_needed(n, used), memory_mb, approximate_from, seed, device
    )
    affinity = graph_affinity(neighbours.indices[:, :used])
    spectrum = smallest_eigenpairs(affinity, max(max_clusters + 1, n_clusters or 1, 3))
    k = n_clusters or largest_gap(spectrum.gaps, max_clusters)
    rows = embedding_rows(spectrum, affinity, k)
    shown = min(n, max_clusters + 1)
    return SprayResult(
        eigenvalues=spectrum.values[:shown],
        gaps=spectrum.gaps[: shown - 1],
        n_clusters=k,
        labels=cluster_rows(rows, k, seed),
        embedding=picture(embedding, affinity, spectrum.vectors, neighbours, k=used, seed=seed),
        affinity=affinity,
        vectors=spectrum.vectors,
        n_components=spectrum.n_components,
        neighbours=neighbours,
        n_neighbors=used,
        notes=_notes(
            n, n_neighbors, k, max_clusters, spectrum, neighbours, copies(features, neighbours)
        ),
    )


def find_neighbours(
    features: Maps,
    count: int,
    memory_mb: float,
    approximate_from: int,
    seed: int,
    device: str = "cpu",
) -> Neighbours:
    """The nearest maps of every map, exactly or, from ``approximate_from`` maps on, nearly."""
    if len(features) < approximate_from:
        return exact_neighbours(features, count, memory_mb=memory_mb, device=device)
    return approximate_neighbours(features, count, memory_mb=memory_mb, seed=seed, device=device)


def copies(features: Maps, neighbours: Neighbours) -> int:
    """How many maps (n, p) are equal to their nearest, voxel by voxel."""
    if neighbours.indices.shape[1] < 2:
        return 0
    nearest = neighbours.indices[:, 1]
    alike = [
        row
        for row, other in enumerate(nearest)
        if np.array_equal(features[row, :_GLANCE], features[other, :_GLANCE])
    ]
    return sum(np.array_equal(features[row], features[nearest[row]]) for row in alike)


def _check(features: Maps, n_neighbors: int, max_clusters: int, n_clusters: int | None) -> int:
    """The number of maps, once everything is in order; values are looked at while searching."""
    if features.ndim != 2 or 0 in features.shape:
        raise BadDataError(
            f"Maps to cluster must be finite and at least one, got an array {features.shape}",
            fix="check that relevance maps were written for this group",
        )
    n = len(features)
    if n_neighbors < 1 or max_clusters < 1 or not 1 <= (n_clusters or 1) <= n or n_clusters == 0:
        raise UsageError(
            f"{n} maps, {n_neighbors} neighbours and {n_clusters or max_clusters} "
            "clusters cannot be combined",
            fix=f"ask for at least 1 neighbour and for 1 to {n} clusters",
        )
    return n


def _notes(
    n: int,
    n_neighbors: int,
    k: int,
    max_clusters: int,
    spectrum: Spectrum,
    neighbours: Neighbours,
    n_copies: int,
) -> tuple[str, ...]:
    notes = []
    if n < n_neighbors:
        notes.append(f"only {n} maps: {n} neighbours instead of {n_neighbors}")
    if n <= n_neighbors and n > 1:
        notes.append("every map is a neighbour of every other: groups cannot be distinguished")
    if spectrum.n_components > 1:
        notes.append(
            f"the neighbour graph falls into {spectrum.n_components} unconnected parts: as many "
            "eigenvalues are zero, and the eigengap cannot join the parts"
        )
    if spectrum.n_components > max_clusters:
        notes.append(
            f"there are more parts than the maximum of {max_clusters} clusters: "
            "the eigengap cannot determine their number"
        )
    if spectrum.n_components > k > 1:
        notes.append(f"with {k} clusters, some clusters contain several unconnected parts")
    if n_copies:
        notes.append(f"{n_copies} maps have an exact copy among the others")
    if n < FEWEST:
        notes.append(f"only {n} maps: the picture shows eigenvectors, not t-SNE")
    if neighbours.recall is not None:
        low = ", which is low: interpret clusters with caution" * (neighbours.recall < LEAST_RECALL)
        notes.append(
            f"neighbours were searched approximately and {100 * neighbours.recall:.1f} % of the "
            f"true ones found on a sample{low}"
        )
    return tuple(notes)
