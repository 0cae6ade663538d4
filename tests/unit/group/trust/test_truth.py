"""Where true regions lie: which files count, and how they come to the grid of a heatmap."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bids_xai.bids.files import write_bytes, write_nifti
from bids_xai.bids.images import Volume
from bids_xai.errors import BadDataError
from bids_xai.group.context import Scan
from bids_xai.group.trust.truth import region_on_grid, truth_files
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
    for name in (
        "desc-nuclei_dseg",
        "label-lesion_mask",
        "desc-marker_mask",
        "desc-brain_mask",
        "space-MEGRE_label-lesion_mask",
        f"space-{TEMPLATE}_res-2_label-lesion_mask",
        "space-T1w_atlas-Mine_dseg",
    ):
        write(tmp_path, name, box)
    found = truth_files(tmp_path, scan, "")
    assert set(found) == {"nuclei", "lesion", "marker", "Mine"}
    assert "space-" not in found["lesion"][0].name
    found = truth_files(tmp_path, scan, TEMPLATE)
    (lesion,) = found["lesion"]
    assert f"space-{TEMPLATE}" in lesion.name
    assert truth_files(tmp_path / "empty", scan, "") == {}


def test_any_label_counts_and_half_a_voxel_is_enough(tmp_path: Path, scan: Scan, box) -> None:
    file = write(tmp_path, "desc-nuclei_dseg", box)
    same = Volume(np.zeros(box.shape, np.float32), affine(2.0))
    found = region_on_grid([file], same, scan, "")
    assert found is not None
    np.testing.assert_array_equal(found, box > 0)


def test_a_voxel_that_is_all_region_belongs_to_it_however_small_the_region(
    tmp_path: Path, scan: Scan
) -> None:
    """Eight voxels of 2 mm that fill one of 4 mm; of its neighbour, three of eight."""
    fine = np.zeros((20, 20, 20), np.uint8)
    fine[8:10, 8:10, 8:10] = 1
    fine[10, 8:10, 8] = fine[10, 8, 9] = 1
    file = write(tmp_path, "label-lesion_mask", fine)
    grid = np.diag([4.0, 4.0, 4.0, 1.0])
    grid[:3, 3] = -20 + 1  # its first voxel covers the first two of each axis
    coarse = Volume(np.zeros((10, 10, 10), np.float32), grid)
    found = region_on_grid([file], coarse, scan, "")
    assert found is not None
    np.testing.assert_array_equal(np.argwhere(found), [[4, 4, 4]])


def test_both_sides_make_up_a_region_and_other_runs_do_not(tmp_path: Path, scan: Scan, box) -> None:
    other = np.zeros_like(box)
    other[12:16, 6:12, 8:14] = 1
    write(tmp_path, "hemi-L_label-hippocampus_mask", box)
    write(tmp_path, "hemi-R_label-hippocampus_mask", other)
    write(tmp_path, "run-1_label-lesion_mask", box)
    write(tmp_path, "run-2_label-lesion_mask", other)
    scan = replace(scan, name="sub-01_ses-2_run-2")
    found = truth_files(tmp_path, scan, "")
    assert [file.name for file in found["lesion"]] == [
        "sub-01_ses-2_run-2_label-lesion_mask.nii.gz"
    ]
    like = Volume(np.zeros(box.shape, np.float32), affine(2.0))
    both = region_on_grid(found["hippocampus"], like, scan, "")
    assert both is not None
    np.testing.assert_array_equal(both, (box > 0) | (other > 0))


def test_two_files_of_one_name_are_refused(tmp_path: Path, scan: Scan, box) -> None:
    write(tmp_path, "label-lesion_mask", box)
    write(tmp_path, "desc-manual_label-lesion_mask", box)
    with pytest.raises(BadDataError, match="same name for a region"):
        truth_files(tmp_path, scan, "")


def test_a_region_is_carried_to_the_template_by_the_scans_transform(
    tmp_path: Path, scan: Scan, box
) -> None:
    file = write(tmp_path, "desc-nuclei_dseg", box)
    like = Volume(np.zeros(box.shape, np.float32), affine(2.0))
    assert region_on_grid([file], like, scan, TEMPLATE) is None  # nothing leads there
    name = f"sub-01_ses-2_from-T1w_to-{TEMPLATE}_mode-image_xfm.h5"
    write_bytes(scan.map_file.parent / name, identity())
    found = region_on_grid([file], like, scan, TEMPLATE)
    assert found is not None
    np.testing.assert_array_equal(found, box > 0)
    there = write(tmp_path, f"space-{TEMPLATE}_desc-nuclei_dseg", np.roll(box, 2, axis=0))
    found = region_on_grid([there], like, scan, TEMPLATE)
    assert found is not None
    np.testing.assert_array_equal(found, np.roll(box, 2, axis=0) > 0)
