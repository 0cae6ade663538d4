"""Prints of maps: equal voxels whatever the file, and who is alike."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.core.cohort.prints import CELLS, ScanPrint, equal_pairs, likeness, scan_print


def person(seed: int) -> np.ndarray:
    """A map of one person: what all have, what is their own."""
    common = np.add.outer(np.add.outer(np.arange(32.0), np.arange(40.0)), np.arange(32.0))
    return common + 5 * np.random.default_rng(seed).normal(size=(32, 40, 32))


BRAIN = np.ones((32, 40, 32), bool)


def test_the_digest_is_of_voxels_and_shape_alone() -> None:
    data = person(0)
    same = scan_print(np.asfortranarray(data.astype(np.float32)), BRAIN).voxels
    assert same == scan_print(data, ~BRAIN).voxels
    assert same != scan_print(data.reshape(40, 32, 32), BRAIN.reshape(40, 32, 32)).voxels
    other = data.copy()
    other[3, 4, 5] += 1
    assert same != scan_print(other, BRAIN).voxels


def test_cells_are_means_within_the_box_of_the_brain() -> None:
    """Against a slow loop over the cells."""
    data, brain = person(1), np.zeros(BRAIN.shape, bool)
    brain[2:30, 5:38, 1:29] = True
    brain[10:12] = False
    data[20, 20, 20] = np.nan
    coarse = scan_print(data, brain).coarse.reshape(CELLS)
    axes = [np.nonzero(brain.any(axis=tuple({0, 1, 2} - {a})))[0] for a in range(3)]
    spans = [(axis.min(), axis.max() + 1) for axis in axes]
    which = [
        np.clip((np.arange(size) - low) * n // (high - low), -1, n)
        for size, n, (low, high) in zip(data.shape, CELLS, spans, strict=True)
    ]
    counts = np.zeros(CELLS)
    means = np.full(CELLS, np.nan)
    for cell in np.ndindex(*CELLS):
        inside = np.ix_(*(w == c for w, c in zip(which, cell, strict=True)))
        values = data[inside][brain[inside] & np.isfinite(data[inside])]
        counts[cell] = values.size
        means[cell] = values.mean() if values.size else np.nan
    means[counts < 0.25 * counts.max()] = np.nan
    np.testing.assert_allclose(coarse, means)
    assert np.isnan(coarse).any()
    assert np.isnan(scan_print(data, ~BRAIN).coarse).all()


def test_one_person_scanned_twice_is_alike_and_two_people_are_not() -> None:
    rng = np.random.default_rng(9)
    maps = [person(seed) for seed in range(8)]
    maps.append(maps[2] + rng.normal(size=maps[2].shape))
    alike = likeness([scan_print(data, BRAIN) for data in maps])
    assert alike[2, 8] > 0.9
    assert np.diag(alike) == pytest.approx(1)
    others = alike[~np.eye(9, dtype=bool)].reshape(9, 8)
    assert np.sort(others.ravel())[-3] < 0.3


def test_of_few_scans_nothing_is_known() -> None:
    prints = [scan_print(person(seed), BRAIN) for seed in range(3)]
    assert np.isnan(likeness(prints)).all()
    nowhere = [scan_print(person(seed), ~BRAIN) for seed in range(5)]
    assert np.isnan(likeness(nowhere)).all()
    flat = [ScanPrint("", np.ones(int(np.prod(CELLS))), (1.0, 1.0, 1.0))] * 5
    assert not (likeness(flat) > 0).any()


def test_pairs_of_equal_digests() -> None:
    assert equal_pairs(["a", "b", "a", "c", "a", "b"]) == [(0, 2), (0, 4), (1, 5)]
    assert equal_pairs([]) == []
