"""From a neighbour graph to clusters: affinity, Laplacian, eigengap, k-means.

Source: Lapuschkin et al. 2019 (Nat. Commun. 10, 1096); Tinauer et al. 2025, section II F;
von Luxburg 2007 (eigengap).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import eigh
from scipy.sparse import csr_array, diags_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import ArpackNoConvergence, eigsh

from bids_xai.arrays import Bools, Floats64, Ints
from bids_xai.core.spray.neighbours import Maps, exact_neighbours
from bids_xai.errors import BadDataError

DENSE_UP_TO = 1000
"""Parts of a graph with up to so many maps are solved densely; Lanczos iterations solve others."""

_TIE = 1e-10  # gaps closer than this are rounding apart
_MOST_ITERATIONS = 20_000


@dataclass(frozen=True)
class Spectrum:
    """Smallest eigenvalues (m,) of the normalised Laplacian, ascending, and their vectors (n, m).

    n_components : connected parts of the graph
    """

    values: Floats64
    vectors: Floats64
    n_components: int

    @property
    def gaps(self) -> Floats64:
        """Differences (m - 1,) of neighbouring eigenvalues; ``gaps[k - 1]`` speaks for k."""
        return np.diff(self.values)


def neighbour_affinity(features: Maps, n_neighbors: int) -> Any:
    """Symmetric k-nearest-neighbour affinity of maps (n, p); see :func:`graph_affinity`."""
    return graph_affinity(exact_neighbours(features, n_neighbors).indices)


def graph_affinity(indices: Ints, valid: Bools | None = None) -> Any:
    """Symmetric affinity, a sparse array (n, n) of values 1/2 and 1 with ones on the diagonal.

    indices : (n, k) neighbours of every map, itself first
    valid : (n, k) which of them count, all by default
    Without the self-loops the Laplacian would lose its gap.
    """
    n, k = indices.shape
    used = np.ones((n, k), dtype=bool) if valid is None else valid
    rows = np.repeat(np.arange(n), used.sum(axis=1))
    directed = csr_array((np.full(rows.size, 0.5), (rows, indices[used])), shape=(n, n))
    affinity = csr_array(directed + directed.T)
    affinity.sort_indices()
    return affinity


def normalised_laplacian(affinity: Any) -> Any:
    r""":math:`I - D^{-1/2} A D^{-1/2}` (n, n), sparse; eigenvalues in [0, 2]."""
    n = affinity.shape[0]
    return csr_array(diags_array(np.ones(n)) - _scaled(csr_array(affinity)))


def _scaled(affinity: Any) -> Any:
    scale = diags_array(1.0 / np.sqrt(affinity.sum(axis=1)))
    return csr_array(scale @ affinity @ scale)


def smallest_eigenpairs(affinity: Any, count: int, dense_up_to: int = DENSE_UP_TO) -> Spectrum:
    """The ``count`` smallest eigenvalues of the normalised Laplacian of an affinity (n, n).

    Every connected part is solved for itself: together they would give the eigenvalue 0 as often
    as there are parts, and iterative solvers miss copies of an eigenvalue. Each vector's largest
    entry is positive.
    """
    n = affinity.shape[0]
    count = min(count, n)
    n_parts, part_of = connected_components(affinity, directed=False)
    scaled = _scaled(affinity)
    largest_first = np.argsort(-np.bincount(part_of), kind="stable")
    values, vectors = [], []
    for part in largest_first[:count]:  # each has an eigenvalue 0: more parts cannot matter
        members = np.flatnonzero(part_of == part)
        matrix = scaled if n_parts == 1 else scaled[members][:, members]
        eigenvalues, shapes = _part_eigenpairs(matrix, count, dense_up_to)
        whole = np.zeros((n, eigenvalues.size))
        whole[members] = shapes
        values.append(eigenvalues)
        vectors.append(whole)
    every = np.concatenate(values)
    order = np.argsort(every, kind="stable")[:count]
    return Spectrum(every[order], np.hstack(vectors)[:, order], int(n_parts))


def _part_eigenpairs(scaled: Any, count: int, dense_up_to: int) -> tuple[Floats64, Floats64]:
    """Smallest eigenvalues of I - scaled, ascending, and vectors; scaled is connected (m, m)."""
    m = scaled.shape[0]
    count = min(count, m)
    if m <= max(dense_up_to, 2 * count + 2):
        values, vectors = eigh(np.eye(m) - scaled.toarray(), subset_by_index=[0, count - 1])
    else:
        largest, vectors = _lanczos(scaled, count)
        order = np.argsort(-largest, kind="stable")
        values, vectors = 1.0 - largest[order], vectors[:, order]
    values[0] = 0.0  # exactly, as the part is connected
    strongest = np.abs(vectors).argmax(axis=0)
    signs = np.sign(vectors[strongest, np.arange(vectors.shape[1])])
    return np.clip(values, 0.0, 2.0), vectors * signs


def _lanczos(scaled: Any, count: int) -> tuple[Floats64, Floats64]:
    """Largest eigenvalues of a sparse symmetric matrix and their vectors.

    No shift and inverse: the factors of a neighbour graph of high-dimensional maps are dense.
    """
    m = scaled.shape[0]
    start = np.random.default_rng(0).standard_normal(m)
    try:
        values, vectors = eigsh(
            scaled,
            k=count,
            which="LA",
            v0=start,
            ncv=min(m - 1, 6 * count + 20),
            tol=1e-11,
            maxiter=_MOST_ITERATIONS,
        )
    except ArpackNoConvergence as error:
        raise BadDataError(
            f"the eigenvalues of the neighbour graph of {m} maps were not found",
            fix="ask for more neighbours (spray.neighbours)",
        ) from error
    return values, vectors


def largest_gap(gaps: Floats64, max_clusters: int) -> int:
    """k in 1..max_clusters with the largest gap between eigenvalues k and k + 1; first of ties.

    Gaps closer than rounding count as ties. Where no gap is larger than 0, as in a graph of more
    unconnected parts than ``max_clusters``, the largest k that is allowed.
    """
    allowed = gaps[:max_clusters]
    if not allowed.size:
        return 1
    if allowed.max() <= _TIE:
        return int(allowed.size)
    return int(np.argmax(allowed >= allowed.max() - _TIE)) + 1


def embedding_rows(spectrum: Spectrum, affinity: Any, k: int) -> Floats64:
    r"""Rows (n, k) of :math:`D^{-1/2} U`.

    The division makes rows equal within a connected part, as in scikit-learn; rows are not
    brought to unit length.
    """
    rows: Floats64 = spectrum.vectors[:, :k] / np.sqrt(affinity.sum(axis=1))[:, None]
    return rows


def cluster_rows(rows: Floats64, k: int, seed: int, n_init: int = 10) -> Ints:
    """Labels (n,) from 0 by k-means on rows (n, d), whatever the order of the rows.

    k-means starts from rows drawn at random. It is given the rows in the order of their lengths,
    which do not depend on the order of the maps (nor on the choice of vectors among those of one
    eigenvalue), so that shuffled maps start from the same rows.
    """
    from sklearn.cluster import KMeans

    k = min(k, len(np.unique(np.round(rows, 12), axis=0)))  # k-means wants k different rows
    if k == 1:
        return np.zeros(len(rows), dtype=np.int64)
    order = np.argsort(np.round((rows**2).sum(axis=1) / (rows**2).sum() * len(rows), 9))
    labels = np.empty(len(rows), dtype=np.int64)
    labels[order] = KMeans(k, n_init=n_init, random_state=seed).fit_predict(rows[order])
    return labels
