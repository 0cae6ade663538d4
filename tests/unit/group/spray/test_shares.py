"""Shares of relevance outside the brain and at the border of its mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from spray_cases import AFFINE

from bids_xai.bids.files import write_nifti
from bids_xai.group.spray.shares import ShareCollector


def test_relevance_at_the_border_of_the_mask(tmp_path: Path) -> None:
    from bids_xai.bids.images import Volume

    mask = np.zeros((9, 9, 9), np.uint8)
    mask[2:7, 2:7, 2:7] = 1
    file = write_nifti(tmp_path / "mask.nii.gz", mask, AFFINE)
    data = np.zeros((9, 9, 9), np.float32)
    data[4, 4, 4], data[2, 4, 4], data[1, 4, 4], data[0, 0, 0] = 4, -3, 2, 1
    collector = ShareCollector([file])
    collector.add(0, Volume(data, AFFINE))
    places = collector.shares
    assert places.outside[0] == pytest.approx(0.3)
    assert places.edge[0] == pytest.approx(0.5)
    np.testing.assert_array_equal(places.brain, mask)
