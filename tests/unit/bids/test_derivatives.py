"""Maps and masks that were made elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bids_xai.bids.derivatives import find_map, find_mask, open_derivatives
from bids_xai.errors import BadDataError, NoInputError


def touch(root: Path, *names: str, sub: str = "01", ses: str = "") -> None:
    folder = root / f"sub-{sub}" / (f"ses-{ses}" if ses else "") / "anat"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def test_a_map_in_t1w_space_is_found_with_its_units(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01_run-2_space-T1w_R1map.nii.gz", "sub-01_space-MNI_R1map.nii.gz")
    folders = open_derivatives([("qmri", tmp_path)])
    found = find_map(folders, "01", "", "R1map")
    assert found is not None
    assert found.image.file.name == "sub-01_run-2_space-T1w_R1map.nii.gz"
    assert found.image.uri == "bids:qmri:sub-01/anat/sub-01_run-2_space-T1w_R1map.nii.gz"
    assert found.image.entities == {"sub": "01", "run": "2"}
    assert found.units == "1/s"
    sidecar = tmp_path / "sub-01/anat/sub-01_run-2_space-T1w_R1map.json"
    sidecar.write_text(json.dumps({"Units": "1/ms"}))
    again = find_map(folders, "01", "", "R1map")
    assert again is not None
    assert again.units == "1/ms"


def test_sessions_and_participants_are_told_apart(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01_ses-2_Chimap.nii", ses="2")
    folders = open_derivatives([("q", tmp_path)])
    assert find_map(folders, "01", "1", "Chimap") is None
    assert find_map(folders, "01", "", "Chimap") is None
    assert find_map(folders, "02", "2", "Chimap") is None
    found = find_map(folders, "01", "2", "Chimap")
    assert found is not None
    assert found.units == "ppm"


def test_two_that_fit_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01_R1map.nii.gz", "sub-01_acq-b_R1map.nii.gz")
    with pytest.raises(BadDataError, match="2 files could be the R1map of sub-01"):
        find_map(open_derivatives([("q", tmp_path)]), "01", "", "R1map")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("brain", "sub-01_desc-brain_mask.nii.gz"),
        ("brain", "sub-01_space-T1w_label-brain_mask.nii.gz"),
        ("lesion", "sub-01_label-lesion_mask.nii.gz"),
        ("lesion", "sub-01_space-orig_label-WMH_mask.nii.gz"),
    ],
)
def test_masks_are_found_by_what_they_show(tmp_path: Path, kind: str, name: str) -> None:
    touch(
        tmp_path,
        name,
        "sub-01_space-MNI_desc-brain_mask.nii.gz",
        "sub-01_desc-ventricle_mask.nii.gz",
    )
    found = find_mask(open_derivatives([("d", tmp_path)]), "01", "", kind)
    assert found is not None
    assert found.file.name == name
    other = {"brain": "lesion", "lesion": "brain"}[kind]
    assert find_mask(open_derivatives([("d", tmp_path)]), "01", "", other) is None


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match="no such folder"):
        open_derivatives([("d", tmp_path / "none")])


def test_of_several_masks_that_of_the_t1w_image_is_taken(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01_run-1_desc-brain_mask.nii.gz", "sub-01_run-02_desc-brain_mask.nii.gz")
    folders = open_derivatives([("d", tmp_path)])
    for run, name in (("01", "sub-01_run-1"), ("2", "sub-01_run-02")):
        found = find_mask(folders, "01", "", "brain", of={"sub": "01", "run": run})
        assert found is not None
        assert found.file.name == f"{name}_desc-brain_mask.nii.gz"
    with pytest.raises(BadDataError, match="2 files could be the brain mask of sub-01"):
        find_mask(folders, "01", "", "brain", of={"sub": "01", "run": "3"})


def test_a_mask_one_level_up_is_taken_of_the_only_session(tmp_path: Path) -> None:
    """With several sessions it lies in the space of their average."""
    touch(tmp_path, "sub-01_desc-brain_mask.nii.gz")
    folders = open_derivatives([("d", tmp_path)])
    assert find_mask(folders, "01", "1", "brain") is None
    found = find_mask(folders, "01", "1", "brain", only_session=True)
    assert found is not None
    touch(tmp_path, "sub-01_ses-1_desc-brain_mask.nii.gz", ses="1")
    own = find_mask(folders, "01", "1", "brain", only_session=True)
    assert own is not None
    assert own.file.name == "sub-01_ses-1_desc-brain_mask.nii.gz"
