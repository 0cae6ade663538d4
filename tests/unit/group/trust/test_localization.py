"""Heatmaps against the truth: one line a heatmap and region, by counting voxels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from trust_cases import prediction

from bids_xai.bids.images import Volume
from bids_xai.errors import BadDataError
from bids_xai.group.trust.localization import LocatedMap, localizations

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


def located(heatmap: np.ndarray, **regions: np.ndarray) -> LocatedMap:
    volume = Volume(heatmap.astype(np.float32), AFFINE)
    return LocatedMap(prediction(), Path("sub-01_relmap.nii.gz"), volume, regions)


def box(*corner: int) -> np.ndarray:
    mask = np.zeros((5, 5, 5), bool)
    mask[tuple(slice(start, start + 2) for start in corner)] = True
    return mask


def test_measures_are_those_of_the_definition() -> None:
    heatmap = np.zeros((5, 5, 5))
    heatmap[0, 0, 0], heatmap[1, 1, 1], heatmap[4, 4, 4], heatmap[3, 0, 0] = 3.0, 1.0, 4.0, -9.0
    near, far = localizations([located(heatmap, near=box(0, 0, 0), far=box(3, 3, 3))], 0.0)
    assert (near.region, far.region) == ("near", "far")
    assert near.mass_accuracy == pytest.approx(4 / 8)
    assert far.mass_accuracy == pytest.approx(4 / 8)
    assert (near.pointing_game, far.pointing_game) == (0.0, 1.0)
    assert near.n_voxels == 8
    assert near.chance == pytest.approx(8 / 125)
    assert (near.outcome, near.scan, near.split) == ("TP", "sub-01", 0)


def test_the_highest_voxel_may_lie_a_little_outside() -> None:
    heatmap = np.zeros((5, 5, 5))
    heatmap[2, 0, 0] = 1.0  # 2 mm from the region
    hits = [
        next(localizations([located(heatmap, near=box(0, 0, 0))], mm)).pointing_game
        for mm in (0.0, 1.9, 2.0)
    ]
    assert hits == [0.0, 0.0, 1.0]


def test_a_map_without_positive_relevance_has_no_measures() -> None:
    (line,) = localizations([located(-np.ones((5, 5, 5)), near=box(0, 0, 0))], 0.0)
    assert (line.mass_accuracy, line.rank_accuracy, line.pointing_game) == (None, None, None)


def test_regions_without_a_voxel_are_left_out_and_damaged_maps_named() -> None:
    empty = np.zeros((5, 5, 5), bool)
    assert list(localizations([located(np.ones((5, 5, 5)), nowhere=empty)], 0.0)) == []
    with pytest.raises(BadDataError, match=r"undefined voxels.*sub-01_relmap"):
        list(localizations([located(np.full((5, 5, 5), np.nan), near=box(0, 0, 0))], 0.0))
