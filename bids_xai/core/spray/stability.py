"""Do clusters survive another seed, another number of neighbours, another sample of maps?

Nothing is searched again: graphs of other sizes and of samples come from the neighbour lists of the
whole analysis, so that hundreds of runs take little time.

Source: Hubert and Arabie 1985 (adjusted Rand index); Hennig 2007, Comput. Stat. Data Anal. 52,
258-271 (Jaccard similarity of clusters over bootstrap samples, and its limit of 0.75).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_xai.arrays import Bools, Floats64, Ints
from bids_xai.core.spray.clusters import SprayResult
from bids_xai.core.spray.graph import (
    cluster_rows,
    embedding_rows,
    graph_affinity,
    largest_gap,
    smallest_eigenpairs,
)

SURVIVES_FROM = 0.75
"""A cluster whose mean Jaccard similarity over samples is lower does not survive."""

FACTORS = (0.5, 0.75, 1.5, 2.0)
"""Of the number of neighbours."""

_STARTS = 3  # of k-means within a sample: a few are enough for a mean over samples


@dataclass(frozen=True)
class StabilityRun:
    """One change and what it did.

    what : ``seed``, ``neighbours`` or ``bootstrap``; value : which seed, how many neighbours,
        which sample
    n_clusters : what the eigengap chooses then
    ari : adjusted Rand index between its labels and those of the analysis, both with the number of
        clusters of the analysis
    """

    what: str
    value: int
    n_clusters: int
    ari: float


@dataclass(frozen=True)
class Stability:
    """runs : every change; clusters : (k,) mean of the best Jaccard similarity over samples."""

    runs: tuple[StabilityRun, ...]
    clusters: Floats64

    @property
    def survives(self) -> Bools:
        """Which clusters (k,) are found again."""
        result: Bools = self.clusters >= SURVIVES_FROM
        return result

    def mean_ari(self, what: str) -> float:
        """Mean adjusted Rand index over the runs of one kind; NaN where there are none."""
        values = [run.ari for run in self.runs if run.what == what]
        return float(np.mean(values)) if values else float("nan")

    def share_of_same_number(self) -> float:
        """Share of bootstrap samples in which the eigengap chooses as many clusters."""
        same = [
            run.n_clusters == self.clusters.size for run in self.runs if run.what == "bootstrap"
        ]
        return float(np.mean(same)) if same else float("nan")


def stability(
    result: SprayResult,
    *,
    max_clusters: int = 9,
    seeds: int = 10,
    bootstraps: int = 50,
    factors: tuple[float, ...] = FACTORS,
    seed: int = 0,
) -> Stability:
    """Repeat the clustering with other seeds, other neighbours and bootstrap samples.

    result : what :func:`~bids_xai.core.spray.clusters.spray` returned
    bootstraps : samples of n maps with replacement; the graph of a sample has its different maps
        alone (copies would be each other's neighbours), and neighbours in proportion
    """
    runs = [*_seeds(result, seeds, seed), *_neighbours(result, factors, max_clusters, seed)]
    sampled, similarity = _bootstraps(result, bootstraps, max_clusters, seed)
    means = np.ones(result.n_clusters)
    for cluster in range(result.n_clusters):
        finite = similarity[:, cluster][np.isfinite(similarity[:, cluster])]
        means[cluster] = finite.mean() if finite.size else np.nan
    return Stability((*runs, *sampled), means)


def _seeds(result: SprayResult, seeds: int, seed: int) -> list[StabilityRun]:
    k = result.n_clusters
    rows = result.vectors[:, :k] / np.sqrt(result.affinity.sum(axis=1))[:, None]
    others = range(seed + 1, seed + 1 + seeds)
    return [
        StabilityRun("seed", other, k, _agreement(result.labels, cluster_rows(rows, k, other)))
        for other in others
    ]


def _neighbours(
    result: SprayResult, factors: tuple[float, ...], max_clusters: int, seed: int
) -> list[StabilityRun]:
    used, available = result.n_neighbors, result.neighbours.indices.shape[1]
    sizes = {min(max(2, round(used * factor)), available) for factor in factors} - {used}
    runs = []
    for size in sorted(sizes):
        labels, k = _clustered_again(
            result.neighbours.indices[:, :size], None, result.n_clusters, max_clusters, seed
        )
        runs.append(StabilityRun("neighbours", size, k, _agreement(result.labels, labels)))
    return runs


def _bootstraps(
    result: SprayResult, bootstraps: int, max_clusters: int, seed: int
) -> tuple[list[StabilityRun], Floats64]:
    """Runs, and the best Jaccard similarity (bootstraps, k) of each cluster; NaN: not in sample."""
    n, k = len(result.labels), result.n_clusters
    rng = np.random.default_rng(seed)
    runs, similarity = [], np.full((bootstraps, k), np.nan)
    for number in range(bootstraps):
        sample = np.unique(rng.integers(n, size=n))
        indices, valid = sample_graph(result.neighbours.indices, sample, n, result.n_neighbors)
        labels, gap_k = _clustered_again(indices, valid, min(k, len(sample)), max_clusters, seed)
        truth = result.labels[sample]
        runs.append(StabilityRun("bootstrap", number, gap_k, _agreement(truth, labels)))
        similarity[number] = best_jaccard(truth, labels, k)
    return runs, similarity


def sample_graph(indices: Ints, sample: Ints, n: int, n_neighbors: int) -> tuple[Ints, Bools]:
    """Neighbours (m, k') within a sample (m,) of n maps, and which of them count.

    indices : (n, c) neighbours of every map, nearest first
    k' is the number of neighbours in proportion to the sample. Where too few of a map's neighbours
    are in the sample, it has fewer.
    """
    number = np.full(n, -1)
    number[sample] = np.arange(len(sample))
    neighbours = number[indices[sample]]  # -1: not in the sample
    limit = min(len(sample), max(2, round(n_neighbors * len(sample) / n)))
    inside = neighbours >= 0
    valid = inside & (np.cumsum(inside, axis=1) <= limit)
    return np.where(valid, neighbours, 0), valid


def best_jaccard(truth: Ints, labels: Ints, k: int) -> Floats64:
    """For each of k clusters of ``truth`` the best Jaccard similarity with one of ``labels``.

    truth, labels : (m,); NaN for a cluster that is not among ``truth``
    """
    table = np.zeros((k, int(labels.max()) + 1))
    np.add.at(table, (truth, labels), 1)
    union = table.sum(axis=1)[:, None] + table.sum(axis=0)[None, :] - table
    best: Floats64 = (table / union).max(axis=1)
    return np.where(table.sum(axis=1) > 0, best, np.nan)


def _clustered_again(
    indices: Ints, valid: Bools | None, k: int, max_clusters: int, seed: int
) -> tuple[Ints, int]:
    """Labels with k clusters, and the number that the eigengap would choose."""
    affinity = graph_affinity(indices, valid)
    spectrum = smallest_eigenpairs(affinity, max(max_clusters + 1, k))
    rows = embedding_rows(spectrum, affinity, k)
    return cluster_rows(rows, k, seed, _STARTS), largest_gap(spectrum.gaps, max_clusters)


def _agreement(truth: Ints, labels: Ints) -> float:
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(truth, labels))
