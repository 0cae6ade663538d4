"""Which pictures a session gets."""

from __future__ import annotations

from pathlib import Path

from bids_xai.reports.participant.session_pictures import participant_figures, session_figures


def test_a_picture_for_every_kind_of_image(participant_dir: Path) -> None:
    pictures = session_figures(participant_dir, {"sub": "01", "ses": "1"})
    names = {path.name.removeprefix("sub-01_ses-1_") for path in pictures}
    assert {"desc-brainmask_T1w.png", "desc-histogram_R2starmap.png"} <= names
    assert "space-T1w_desc-registration_R2starmap.png" in names
    assert sum(name.endswith("_relmap.png") for name in names) == 2
    assert sum("templatemask" in name for name in names) == 1
    assert all(path.parent == participant_dir / "sub-01" / "figures" for path in pictures)
    before = {path: path.read_bytes() for path in pictures}
    again = participant_figures(participant_dir, "01")
    assert len(again) == 2 * len(pictures)
    assert all(path.read_bytes() == content for path, content in before.items())


def test_no_files_no_pictures(tmp_path: Path) -> None:
    assert session_figures(tmp_path, {"sub": "01"}) == []
    assert participant_figures(tmp_path, "01") == []
