"""Which volumes go into the viewer of a study, and what is kept out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bids_xai.bids.files import write_json, write_nifti
from bids_xai.bids.layout import read_json
from bids_xai.reports.study import viewer as study_viewer
from bids_xai.reports.study.viewer import write_study_viewer
from bids_xai.reports.study_files import StudyFiles
from bids_xai.settings import EMBEDDED_TEMPLATE

STUDY = "tiny"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the viewers would show: nothing is written."""
    calls: list[dict[str, Any]] = []
    names = ("page", "output_dir", "title", "anatomy", "layers", "regions", "notes")

    def note(*values: Any) -> None:
        calls.append(dict(zip(names, values, strict=False)))

    monkeypatch.setattr(study_viewer, "write_viewer", note)
    return calls


def test_the_viewer_of_a_study_has_the_atlas_of_its_tables(
    study_dir: Path, written: list[dict[str, Any]]
) -> None:
    file = study_dir / "group" / STUDY / "study.json"
    for atlas in ("TissueNuclei", "Elsewhere"):
        description = read_json(file) | {"atlas": atlas}
        write_json(file, description)
        write_study_viewer(StudyFiles.at(study_dir, STUDY))
    first, second = written
    assert first["regions"].names
    assert first["notes"] == []
    assert second["regions"] is None
    assert second["notes"] == ["The atlas Elsewhere of the study's tables is not available."]


def test_a_participant_who_stands_in_for_the_template_shows_no_face(
    study_dir: Path, written: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_viewer, "template_at_hand", lambda _space: None)
    monkeypatch.setattr(
        study_viewer,
        "template_background",
        lambda _study, like: (np.ones_like(like.data), "a head"),
    )
    write_study_viewer(StudyFiles.at(study_dir, STUDY))
    assert not written[0]["anatomy"].data.any()
    shape, affine = written[0]["anatomy"].data.shape, written[0]["anatomy"].affine
    brain = np.zeros(shape, np.uint8)
    brain[5:9, 5:9, 5:9] = 1
    anat = study_dir / "sub-01" / "anat"
    name = f"sub-01_space-{EMBEDDED_TEMPLATE}_res-2_desc-brain_mask.nii.gz"
    write_nifti(anat / name, brain, affine)
    write_study_viewer(StudyFiles.at(study_dir, STUDY))
    np.testing.assert_array_equal(written[1]["anatomy"].data, brain)
