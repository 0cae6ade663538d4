"""Middle slices: the cuts of a volume, side by side, and many of them in a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bids_xai.group.spray.slices import SliceFile, middle_slices


def test_three_cuts_stand_side_by_side_in_the_middle_of_the_height() -> None:
    volume = np.random.default_rng(0).random((4, 6, 8)).astype(np.float32)
    sheet = middle_slices(volume)
    assert sheet.shape == (8, 4 + 4 + 6)
    np.testing.assert_array_equal(sheet[1:7, :4], volume[:, :, 4].T[::-1, ::-1])  # axial, 6 high
    np.testing.assert_array_equal(sheet[:, 4:8], volume[:, 3, :].T[::-1, ::-1])
    np.testing.assert_array_equal(sheet[:, 8:], volume[2, :, :].T[::-1, ::-1])
    assert not sheet[[0, 7], :4].any()


def test_slices_of_many_volumes_lie_in_a_file(tmp_path: Path) -> None:
    slices = SliceFile(tmp_path / "a.slices", 3)
    assert len(slices.slices) == 0
    assert not (tmp_path / "a.slices").exists()
    volumes = np.random.default_rng(0).random((3, 4, 6, 8)).astype(np.float32)
    for row in (2, 0, 1):
        slices.add(row, volumes[row])
    for row in range(3):
        np.testing.assert_array_equal(slices.slices[row], middle_slices(volumes[row]))
    assert (tmp_path / "a.slices").stat().st_size == 3 * 8 * 14 * 4
