"""Where true regions lie: which files count, and how they come to the grid of a heatmap."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bids_xai.bids.files import write_bytes, write_nifti
from bids_xai.bids.images import Volume
from bids_xai.group.context import Scan
from bids_xai.group.quality_truth import region_on_grid, truth_files
from bids_xai.simulation.encode import identity

TEMPLATE = "MNI152NLin2009aSym"


def affine(mm: float) -> np.ndarray:
    matrix = np.diag([mm, mm, mm, 1.0])
    matrix[:3, 3] = -10 * mm
    return matrix


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    anat = tmp_path / "out" / "sub-01" / "ses-2" / "anat"
    anat.mkdir(parents=True)
    return Scan("sub-01_ses-2", "01", "2", "AD", anat / "map.nii.gz", anat / "mask.nii.gz", None)


@pytest.fixture
def box() -> np.ndarray:
    found = np.zeros((20, 20, 20), np.uint8)
    found[4:10, 6:12, 8:14] = 7
    return found


def write(root: Path, name: str, data: np.ndarray) -> Path:
    place = root / "sub-01" / "ses-2" / "anat"
    return write_nifti(place / f"sub-01_ses-2_{name}.nii.gz", data, affine(2.0))


def test_regions_are_named_and_brain_masks_are_none(tmp_path: Path, scan: Scan, box) -> None:
    for name in ("desc-nuclei_dseg", "label-lesion_mask", "desc-marker_mask", "desc-brain_mask",
                 "space-MEGRE_label-lesion_mask", f"space-{TEMPLATE}_res-2_label-lesion_mask",
                 "space-T1w_atlas-Mine_dseg"):  # fmt: skip
        write(tmp_path, name, box)
    found = truth_files(tmp_path, scan, "")
    assert set(found) == {"nuclei", "lesion", "marker", "Mine"}
    assert "space-" not in found["lesion"].name
    found = truth_files(tmp_path, scan, TEMPLATE)
    assert f"space-{TEMPLATE}" in found["lesion"].name
    assert truth_files(tmp_path / "empty", scan, "") == {}


def test_any_label_counts_and_half_a_voxel_is_enough(tmp_path: Path, scan: Scan, box) -> None:
    file = write(tmp_path, "desc-nuclei_dseg", box)
    same = Volume(np.zeros(box.shape, np.float32), affine(2.0))
    found = region_on_grid(file, same, scan, "")
    assert found is not None
    np.testing.assert_array_equal(found, box > 0)


def test_a_region_is_carried_to_the_template_by_the_scans_transform(
    tmp_path: Path, scan: Scan, box
) -> None:
    file = write(tmp_path, "desc-nuclei_dseg", box)
    like = Volume(np.zeros(box.shape, np.float32), affine(2.0))
    assert region_on_grid(file, like, scan, TEMPLATE) is None  # nothing leads there
    name = f"sub-01_ses-2_from-T1w_to-{TEMPLATE}_mode-image_xfm.h5"
    write_bytes(scan.map_file.parent / name, identity())
    found = region_on_grid(file, like, scan, TEMPLATE)
    assert found is not None
    np.testing.assert_array_equal(found, box > 0)
    there = write(tmp_path, f"space-{TEMPLATE}_desc-nuclei_dseg", np.roll(box, 2, axis=0))
    found = region_on_grid(there, like, scan, TEMPLATE)
    assert found is not None
    np.testing.assert_array_equal(found, np.roll(box, 2, axis=0) > 0)
