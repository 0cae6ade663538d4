"""Which volumes go into the viewer of a session, and what is kept out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bids_xai.bids.files import write_nifti
from bids_xai.bids.images import Volume, read_volume
from bids_xai.reports.participant import viewer
from bids_xai.reports.participant.viewer import (
    MOST_LAYERS,
    SHOWN_AROUND_MM,
    fitting,
    near,
    session_page,
    write_session_viewer,
)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the viewers would show: nothing is written."""
    calls: list[dict[str, Any]] = []
    names = ("page", "output_dir", "title", "anatomy", "layers", "regions", "notes")

    def note(*values: Any) -> None:
        calls.append(dict(zip(names, values, strict=False)))

    monkeypatch.setattr(viewer, "write_viewer", note)
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
    assert "no face can be reconstructed" in " ".join(shown["notes"])
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
    (note,) = [text for text in shown["notes"] if "at most" in text]
    assert "for AD by other10, model A; Relevance for AD by other11, model A." in note
    assert "other09" not in note


def test_as_many_maps_as_fit_and_a_sentence_on_the_others() -> None:
    files = {name: Path(name) for name in "abc"}
    assert fitting(files, 3) == (files, [])
    first, (note,) = fitting(files, 1)
    assert first == {"a": Path("a")}
    assert note.endswith("Not shown: b; c.")


def test_the_page_of_a_session_is_removed_where_it_has_no_heatmaps(tmp_path: Path) -> None:
    page = session_page(tmp_path, "01", "")
    assert page == tmp_path / "sub-01" / "figures" / "sub-01_viewer.html"
    page.parent.mkdir(parents=True)
    page.write_text("of an earlier run")
    assert write_session_viewer(tmp_path, "01", "") is None
    assert not page.exists()
