"""Folders of sessions, sidecars, and what images are called."""

from __future__ import annotations

from pathlib import Path

from bids_xai.bids.files import write_json
from bids_xai.reports.participant.session_files import (
    acquisition,
    anat_folder,
    map_name,
    quantitative_maps,
    relevance_name,
    sessions_of,
    sidecar_of,
)
from bids_xai.reports.volumes import Folder, ImageFile


def test_sessions_and_their_folders(tmp_path: Path) -> None:
    for name in ("sub-01/anat", "sub-01/ses-2/anat", "sub-01/ses-1/anat", "sub-01/ses-3/func"):
        (tmp_path / name).mkdir(parents=True)
    assert sessions_of(tmp_path, "01") == ["", "1", "2"]
    assert sessions_of(tmp_path, "02") == []
    assert anat_folder(tmp_path, {"sub": "01", "ses": "1"}) == tmp_path / "sub-01/ses-1/anat"
    assert anat_folder(tmp_path, {"sub": "01", "ses": ""}) == tmp_path / "sub-01/anat"


def test_every_quantitative_map_once(tmp_path: Path) -> None:
    names = [
        "sub-1_run-1_R2starmap",
        "sub-1_run-1_space-T1w_R2starmap",  # the same as the first
        "sub-1_run-2_space-T1w_R2starmap",
        "sub-1_space-T1w_R1map",
        "sub-1_space-T1w_desc-brain_mask",
        "sub-1_space-T1w_desc-preproc_FLAIR",
        "sub-1_space-T1w_model-A_relmap",
        "sub-1_S0map",
    ]
    for name in names:
        (tmp_path / f"{name}.nii.gz").write_bytes(b"")
    maps = [image.path.name for image in quantitative_maps(Folder.of(tmp_path))]
    assert sorted(maps) == sorted(f"{names[i]}.nii.gz" for i in (0, 2, 3))


def test_names(tmp_path: Path) -> None:
    assert [map_name(s) for s in ("R2starmap", "R1map", "FLAIR")] == ["R2*", "R1", "FLAIR"]
    path = tmp_path / "sub-1_label-AD_desc-lrpzplus_relmap.nii.gz"
    image = ImageFile(path, {"label": "AD", "desc": "lrpzplus", "run": "2"}, "relmap")
    assert sidecar_of(path) == tmp_path / "sub-1_label-AD_desc-lrpzplus_relmap.json"
    assert relevance_name(image) == "Relevance for AD by lrpzplus"
    write_json(sidecar_of(path), {"Method": "lrp-zplus"})
    assert relevance_name(image) == "Relevance for AD by lrp-zplus"
    assert relevance_name(ImageFile(path, {"label": "all"}, "relmap")) == "Relevance by lrp-zplus"
    assert acquisition(image) == {"acq": None, "ce": None, "rec": None, "run": "2"}
