"""A small spot where a cluster's heatmaps agree and others have nothing.

A shortcut such as a label beside the head takes a few percent of the relevance. Sums over all that
lies outside the brain do not show it where other heatmaps are strong elsewhere outside.

The spot of a cluster is where the mean of its maps exceeds that of the other maps most. A place
that was chosen for being different is different by choice, so participants are halved: the spot of
each half is sought in the other one, and numbers of one half never choose its own spot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from bids_xai.arrays import Bools, Floats64, Ints
from bids_xai.core.spray.neighbours import Maps


@dataclass(frozen=True)
class Spot:
    """The spot of a cluster.

    shares : (n,) share of abs(relevance) of each map in the spot of the other half; NaN where that
        half has no map of the cluster
    index : voxel (x, y, z) in the middle of the spot that all maps give
    """

    shares: Floats64
    index: tuple[int, int, int]


def spots(
    maps: Maps,
    labels: Ints,
    participants: Sequence[str],
    inside: Bools,
    allowed: Bools,
    cube: tuple[int, int, int],
    seed: int = 0,
) -> dict[int, Spot]:
    """Return the spot of every cluster that has one, in two passes over the maps.

    maps : (n, p), one map a row, the voxels of ``inside`` (x, y, z)
    labels : (n,) cluster of each map, from 0; participants : (n,) whose it is
    allowed : (x, y, z) where the middle of a spot may lie
    cube : edges of a spot in voxels, odd; seed : of the halves
    """
    halves = _halves(labels, participants, seed)
    n_clusters = int(labels.max()) + 1
    if n_clusters < 2 or not allowed.any():
        return {}
    sums, counts = _sums(maps, labels, halves, n_clusters)
    cluster_spots: dict[int, Spot] = {}
    voxels_of: dict[tuple[int, int], Ints] = {}
    for cluster in range(n_clusters):
        for half in (0, 1):
            sought = (1 - half,)
            if (index := _peak(cluster, sought, sums, counts, inside, allowed, cube)) is not None:
                voxels_of[cluster, half] = _voxels(index, inside, cube)
        index = _peak(cluster, (0, 1), sums, counts, inside, allowed, cube)
        if index is not None:
            cluster_spots[cluster] = Spot(np.full(len(labels), np.nan), index)
    for row in range(len(labels)):
        strength = np.abs(np.asarray(maps[row], dtype=np.float64))
        total = strength.sum()
        for cluster, spot in cluster_spots.items():
            voxels = voxels_of.get((cluster, int(halves[row])))
            if voxels is not None and total > 0:
                spot.shares[row] = strength[voxels].sum() / total
    return cluster_spots


def _halves(labels: Ints, participants: Sequence[str], seed: int) -> Ints:
    """0 or 1 for each map, the same for all of a participant, about half of every cluster."""
    people, whose = np.unique(np.asarray(participants), return_inverse=True)
    cluster = np.zeros(len(people), dtype=np.int64)
    cluster[whose[::-1]] = labels[::-1]  # of the first map of each
    order = np.random.default_rng(seed).permutation(len(people))
    order = order[np.argsort(cluster[order], kind="stable")]
    half = np.empty(len(people), dtype=np.int64)
    half[order] = np.arange(len(people)) % 2
    return half[whose]


def _sums(maps: Maps, labels: Ints, halves: Ints, n_clusters: int) -> tuple[Floats64, Ints]:
    """Sums (half, cluster, p) of the maps' shares, and how many maps each is made of."""
    sums = np.zeros((2, n_clusters, maps.shape[1]))
    counts = np.zeros((2, n_clusters), dtype=np.int64)
    for row, (label, half) in enumerate(zip(labels, halves, strict=True)):
        strength = np.abs(np.asarray(maps[row], dtype=np.float64))
        total = strength.sum()
        if total > 0:
            sums[half, label] += strength / total
            counts[half, label] += 1
    return sums, counts


def _peak(
    cluster: int,
    halves: tuple[int, ...],
    sums: Floats64,
    counts: Ints,
    inside: Bools,
    allowed: Bools,
    cube: tuple[int, int, int],
) -> tuple[int, int, int] | None:
    """Middle of the cube in which a cluster exceeds the others most; None without maps."""
    n, n_all = counts[list(halves), cluster].sum(), counts[list(halves)].sum()
    if n == 0 or n == n_all:
        return None
    total = sums[list(halves), cluster].sum(axis=0)
    others = sums[list(halves)].sum(axis=(0, 1)) - total
    excess = np.zeros(inside.shape)
    excess[inside] = total / n - others / (n_all - n)
    smooth = ndimage.uniform_filter(excess, cube, mode="constant")
    smooth[~allowed] = -np.inf
    x, y, z = (int(i) for i in np.unravel_index(int(np.argmax(smooth)), smooth.shape))
    return x, y, z


def _voxels(index: tuple[int, int, int], inside: Bools, cube: tuple[int, int, int]) -> Ints:
    """The features (numbers among the voxels of ``inside``) in the cube around a voxel."""
    block = tuple(
        slice(max(0, i - edge // 2), i + edge // 2 + 1) for i, edge in zip(index, cube, strict=True)
    )
    number = np.full(inside.shape, -1, dtype=np.int64)
    number[inside] = np.arange(int(inside.sum()))
    features = number[block].ravel()
    return features[features >= 0]
