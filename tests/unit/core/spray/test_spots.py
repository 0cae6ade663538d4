"""Spots: equal to a slow version, found where they are planted, silent where there are none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bids_xai.core.spray.audit import SUSPECT, Covariate, audit
from bids_xai.core.spray.spots import Spot, _halves, spots

SHAPE, CUBE = (14, 16, 12), (3, 3, 3)
PLACE = (11, 3, 9)


def brain() -> np.ndarray:
    middle = (np.array(SHAPE) - 1) / 2
    offsets = np.moveaxis(np.indices(SHAPE), 0, -1) - middle
    return np.linalg.norm(offsets, axis=-1) < 4


def allowed() -> np.ndarray:
    return ~ndimage.maximum_filter(brain(), CUBE)


def cohort(n: int, seed: int, planted: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Noise maps (n, p) with most relevance outside; every third has a share at one place."""
    rng = np.random.default_rng(seed)
    maps = rng.gamma(0.5, size=(n, *SHAPE))
    maps /= maps.sum(axis=(1, 2, 3), keepdims=True)
    labels = (np.arange(n) % 3 == 0).astype(np.int64)
    block = tuple(slice(i - 1, i + 2) for i in PLACE)
    maps[labels == 1] *= 1 - planted
    maps[(labels == 1, *block)] += planted / 27
    return maps.reshape(n, -1), labels


def people(n: int) -> list[str]:
    return [f"sub-{i // 2}" for i in range(n)]  # two scans each


def slow(maps: np.ndarray, labels: np.ndarray, own: np.ndarray, row: int, cluster: int) -> float:
    """The share of one map in the spot that the maps ``own`` give, voxel by voxel."""
    shares = np.abs(maps) / np.abs(maps).sum(axis=1, keepdims=True)
    shares = shares.reshape(-1, *SHAPE)
    inside, outside = shares[own & (labels == cluster)], shares[own & (labels != cluster)]
    excess = inside.mean(axis=0) - outside.mean(axis=0)
    best, value = None, -np.inf
    for index in np.argwhere(allowed()):
        block = tuple(slice(max(0, i - 1), i + 2) for i in index)
        if excess[block].sum() > value + 1e-15:
            best, value = block, excess[block].sum()
    assert best is not None
    return float(shares[(row, *best)].sum())


@pytest.mark.parametrize("signed", [False, True])
def test_equal_to_a_slow_version(signed: bool) -> None:
    maps, labels = cohort(24, seed=3)
    if signed:
        maps = maps * np.random.default_rng(4).choice([-1.0, 1.0], size=maps.shape)
    names = [f"sub-{i}" for i in range(24)]
    found = spots(maps, labels, names, np.ones(SHAPE, bool), allowed(), CUBE, seed=1)
    for cluster, spot in found.items():
        # which participants form a half is the function's own choice: one of two values for each
        values = spot.shares
        assert np.isfinite(values).all()
        halves = _halves(labels, names, 1)
        for row in (0, 1, 7, 12, 23):
            assert values[row] == pytest.approx(
                slow(maps, labels, halves != halves[row], row, cluster), rel=1e-9
            )


def test_halves_keep_participants_together_and_split_every_cluster() -> None:
    _, labels = cohort(60, seed=0)
    labels = np.repeat(labels[::2], 2)
    halves = _halves(labels, people(60), seed=5)
    np.testing.assert_array_equal(halves[::2], halves[1::2])
    for cluster in (0, 1):
        assert abs(halves[labels == cluster].mean() - 0.5) < 0.1
    assert (halves != _halves(labels, people(60), seed=6)).any()


def suspicious(found: dict[int, Spot], labels: np.ndarray) -> list[int]:
    n = len(labels)
    known = [
        Covariate(
            "spot",
            spot.shares,
            SUSPECT,
            "relevance in one spot",
            is_share=True,
            misplaced=True,
            least=(0.01, 5.0),
            cluster=cluster,
        )
        for cluster, spot in found.items()
    ]
    verdicts = audit(
        labels,
        known,
        classes=["AD", "NC"] * (n // 2),
        participants=[str(i) for i in range(n)],
        permutations=999,
    ).suspicious
    return [verdict.cluster for verdict in verdicts]


def test_a_small_share_at_one_place_is_found_among_much_relevance_outside() -> None:
    maps, labels = cohort(60, seed=1, planted=0.06)
    outside = maps.reshape(-1, *SHAPE)[:, ~brain()].sum(axis=1)
    assert outside.mean() > 0.8  # of all maps: their sum outside says nothing
    names = [f"sub-{i}" for i in range(60)]
    found = spots(maps, labels, names, np.ones(SHAPE, bool), allowed(), CUBE)
    assert found[1].index == PLACE
    assert found[1].shares[labels == 1].mean() > 0.06
    assert suspicious(found, labels) == [1]


def test_a_place_chosen_for_its_difference_raises_no_alarm_by_that() -> None:
    """Noise, and few maps: the best place of all looks good, that of the other half does not."""
    alarms = 0
    for seed in range(40):
        maps, labels = cohort(24, seed=100 + seed)
        maps = maps**4  # a few voxels hold most of each map
        names = [f"sub-{i}" for i in range(24)]
        found = spots(maps, labels, names, np.ones(SHAPE, bool), allowed(), CUBE, seed)
        alarms += bool(suspicious(found, labels))
    assert alarms <= 2


def test_features_may_be_some_of_the_voxels() -> None:
    maps, labels = cohort(30, seed=2, planted=0.05)
    inside = np.ones(SHAPE, bool)
    inside[:2] = False
    some = maps[:, inside.ravel()]
    names = [f"sub-{i}" for i in range(30)]
    found = spots(some, labels, names, inside, allowed() & inside, CUBE)
    assert found[1].index == PLACE


def test_one_cluster_or_no_place_outside_gives_nothing() -> None:
    maps, labels = cohort(12, seed=2)
    names = [f"sub-{i}" for i in range(12)]
    everywhere = np.ones(SHAPE, bool)
    assert spots(maps, labels * 0, names, everywhere, allowed(), CUBE) == {}
    assert spots(maps, labels, names, everywhere, ~everywhere, CUBE) == {}


def test_a_cluster_of_one_participant_has_no_other_half() -> None:
    maps, _ = cohort(12, seed=2)
    labels = np.array([1, 1] + [0] * 10)
    names = ["sub-0", "sub-0", *(f"sub-{i}" for i in range(10))]
    found = spots(maps, labels, names, np.ones(SHAPE, bool), allowed(), CUBE)
    halves_known = np.isfinite(found[1].shares)
    assert not halves_known[:2].any()  # nobody else's maps say where their spot is
    assert halves_known.any()
