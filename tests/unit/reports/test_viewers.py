"""Which volumes go into the viewers of sessions and studies, and what is kept out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bids_xai.bids.files import write_json, write_nifti
from bids_xai.bids.images import Volume, read_volume
from bids_xai.reports.participant import viewer as viewers
from bids_xai.reports.participant.viewer import (
    MOST_LAYERS,
    SHOWN_AROUND_MM,
    near,
    write_session_viewer,
)
from bids_xai.reports.study import viewer as study_viewer
from bids_xai.reports.study.viewer import write_study_viewer
from bids_xai.reports.study_files import Study
from bids_xai.settings import EMBEDDED_TEMPLATE

STUDY = "tiny"  # of conftest.py


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the viewers would show: nothing is written."""
    calls: list[dict[str, Any]] = []
    names = ("page", "output_dir", "title", "anatomy", "layers", "regions", "notes")

    def note(*values: Any) -> None:
        calls.append(dict(zip(names, values, strict=False)))

    for module in (viewers, study_viewer):
        monkeypatch.setattr(module, "write_viewer", note)
    return calls


def test_what_is_far_from_the_brain_is_not_shown() -> None:
    grid = np.diag([2.0, 1.0, 3.0, 1.0])
    head, mask = np.full((30, 40, 24), 7.0), np.zeros((30, 40, 24))
    mask[12:18, 16:24, 9:15] = 1
    shown = near(Volume(head, grid), Volume(mask, grid)).data
    assert (shown[mask > 0] == 7).all()
    assert shown[11 + 6 + 2, 20, 12] == 7  # 4 mm to the side
    assert not shown[11 + 6 + 4, 20, 12]  # 8 mm
    assert shown[14, 23 + 5, 12] == 7  # 5 mm to the front
    assert not shown[14, 23 + 6, 12]
    assert not near(Volume(head, grid), None).data.any()
    assert SHOWN_AROUND_MM == 5


def test_no_face_is_in_the_viewer_of_a_session(
    participant_dir: Path, written: list[dict[str, Any]]
) -> None:
    anat = participant_dir / "sub-01" / "ses-1" / "anat"
    stem = f"{anat}/sub-01_ses-1"
    affine = read_volume(Path(f"{stem}_desc-preproc_T1w.nii.gz")).affine
    shape = read_volume(Path(f"{stem}_desc-preproc_T1w.nii.gz")).data.shape
    everywhere, brain = np.ones(shape, np.float32), np.zeros(shape, np.uint8)
    brain[8:12, 10:16, 7:11] = 1
    heat = "space-T1w_model-A_label-AD_desc-lrpzplus_relmap"
    for name in ("desc-preproc_T1w", "space-T1w_R2starmap", heat):
        write_nifti(Path(f"{stem}_{name}.nii.gz"), everywhere, affine)
    write_nifti(Path(f"{stem}_desc-brain_mask.nii.gz"), brain, affine)
    write_session_viewer(participant_dir, "01", "1")
    (shown,) = written
    heatmap, r2star = shown["layers"]
    assert heatmap.volume.data.all()  # a model that looks at the face must be seen to do so
    for data in (shown["anatomy"].data, r2star.volume.data):
        np.testing.assert_array_equal(data, brain)  # voxels of 8 mm: none within 5 mm
    assert "no face can be rebuilt" in " ".join(shown["notes"])
    Path(f"{stem}_desc-brain_mask.nii.gz").unlink()
    write_session_viewer(participant_dir, "01", "1")
    assert not written[1]["anatomy"].data.any()
    assert [layer.name for layer in written[1]["layers"]] == [
        "Relevance for AD by lrp-zplus, model A"
    ]
    assert "no brain mask" in " ".join(written[1]["notes"])


def test_too_many_heatmaps_are_named_and_the_r2star_map_stays(
    participant_dir: Path, written: list[dict[str, Any]]
) -> None:
    anat = participant_dir / "sub-01" / "ses-1" / "anat"
    (first,) = anat.glob("*_space-T1w_*_relmap.nii.gz")
    for index in range(MOST_LAYERS):
        copy = anat / first.name.replace("lrpzplus", f"other{index:02d}")
        copy.write_bytes(first.read_bytes())
    write_session_viewer(participant_dir, "01", "1")
    (shown,) = written
    names = [layer.name for layer in shown["layers"]]
    assert len(names) == MOST_LAYERS
    assert names[-1] == "R2* map"
    (note,) = [text for text in shown["notes"] if "maps at most" in text]
    assert "for AD by other10, model A; Relevance for AD by other11, model A." in note
    assert "other09" not in note


def test_the_viewer_of_a_study_has_the_atlas_of_its_tables(
    study_dir: Path, written: list[dict[str, Any]]
) -> None:
    file = study_dir / "group" / STUDY / "study.json"
    for atlas in ("TissueNuclei", "Elsewhere"):
        description = Study.at(study_dir, STUDY).description | {"atlas": atlas}
        write_json(file, description)
        write_study_viewer(Study.at(study_dir, STUDY))
    first, second = written
    assert first["regions"].names
    assert first["notes"] == []
    assert second["regions"] is None
    assert second["notes"] == ["The atlas Elsewhere of the study's tables is not at hand."]


def test_a_participant_who_stands_in_for_the_template_shows_no_face(
    study_dir: Path, written: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_viewer, "template_at_hand", lambda _space: None)
    monkeypatch.setattr(
        study_viewer,
        "template_background",
        lambda _study, like: (np.ones_like(like.data), "a head"),
    )
    write_study_viewer(Study.at(study_dir, STUDY))
    assert not written[0]["anatomy"].data.any()
    shape, affine = written[0]["anatomy"].data.shape, written[0]["anatomy"].affine
    brain = np.zeros(shape, np.uint8)
    brain[5:9, 5:9, 5:9] = 1
    anat = study_dir / "sub-01" / "anat"
    name = f"sub-01_space-{EMBEDDED_TEMPLATE}_res-2_desc-brain_mask.nii.gz"
    write_nifti(anat / name, brain, affine)
    write_study_viewer(Study.at(study_dir, STUDY))
    np.testing.assert_array_equal(written[1]["anatomy"].data, brain)
