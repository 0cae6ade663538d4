"""Volumes of regions from label images, by prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bids_xai.bids.files import write_nifti
from bids_xai.bids.images import Volume
from bids_xai.group.atlas.parts import Part
from bids_xai.group.atlas.volumes import volumes_ml, voxel_ml, warped_volumes
from bids_xai.templates.lookup import Atlas

LABELS = ((70000, "White"), (3, "Grey"), (9, "Missing"))
AFFINE = np.array([[0.0, 2.0, 0.0, 5.0], [1.5, 0.0, 0.0, 1.0], [0.0, 0.0, -1.0, 0.0], [0, 0, 0, 1]])


@pytest.fixture
def image() -> Volume:
    labels = np.random.default_rng(0).choice([0, 3, 4, 70000], size=(5, 6, 7)).astype(np.int32)
    return Volume(labels, AFFINE)


def test_volumes_are_voxels_times_the_size_of_one(image: Volume) -> None:
    assert voxel_ml(image) == pytest.approx(2.0 * 1.5 * 1.0 / 1000)
    counts = [(image.data == index).sum() for index, _ in LABELS]
    assert counts[2] == 0
    np.testing.assert_allclose(volumes_ml(image, LABELS), np.array(counts) * 0.003)


def test_every_scan_is_measured_once_and_unknown_ones_have_no_lines(
    tmp_path: Path, image: Volume, caplog: pytest.LogCaptureFixture
) -> None:
    file = write_nifti(tmp_path / "sub-1_dseg.nii.gz", image.data, AFFINE)
    atlas = Atlas("Z", image, LABELS)
    scans = ["sub-1", "sub-2", None, "sub-1"]
    volumes = warped_volumes(scans, [file, None, None, file], atlas)
    expected = volumes_ml(image, LABELS)
    np.testing.assert_allclose(volumes.ml[[0, 3]], [expected, expected], rtol=1e-6)
    assert np.isnan(volumes.ml[1:3]).all()
    assert volumes.source == "dseg"
    assert [(row.scan, row.atlas, row.index, row.name) for row in volumes.rows] == [
        ("sub-1", "Z", index, name) for index, name in LABELS
    ]
    assert [row.volume_ml for row in volumes.rows] == pytest.approx(expected)
    assert "1 of 2 scans have no atlas on their T1w image" in caplog.text
    part = volumes.of(Part("A", "m", 1, 4))
    np.testing.assert_array_equal(part.ml, volumes.ml[1:4])
    assert part.source == "dseg"
