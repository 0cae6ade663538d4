"""Who withdrew is in no cohort any more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bids_xai.group.cohort.step import plan, read
from bids_xai.group.cohort.withdrawn import WITHDRAWN, withdrawn_sessions

SESSIONS = [("sub-01", "ses-1"), ("sub-01", "ses-2"), ("sub-02", "ses-1"), ("sub-03", "")]


def raw_image(root: Path, *folders: str) -> None:
    folder = root.joinpath(*folders, "anat")
    folder.mkdir(parents=True)
    (folder / "T1w.nii.gz").symlink_to("content-that-is-not-here")


def test_sessions_without_an_image_are_gone(tmp_path: Path) -> None:
    raw_image(tmp_path, "sub-01", "ses-1")
    (tmp_path / "sub-01" / "ses-2" / "anat").mkdir(parents=True)  # git leaves no folder, rm may
    raw_image(tmp_path, "sub-03")
    gone = {("sub-01", "ses-2"), ("sub-02", "ses-1")}
    assert withdrawn_sessions(tmp_path, SESSIONS, own=True) == gone
    assert withdrawn_sessions(tmp_path, SESSIONS, own=False) == gone
    raw_image(tmp_path, "sub-02")  # without sessions, which the derivatives of others may name
    assert withdrawn_sessions(tmp_path, SESSIONS, own=False) == {("sub-01", "ses-2")}


def test_a_folder_with_tables_alone_does_not_say_who_withdrew(tmp_path: Path) -> None:
    (tmp_path / "sub-01").mkdir()
    (tmp_path / "sub-01" / "sub-01_sessions.tsv").touch()
    assert withdrawn_sessions(tmp_path, SESSIONS, own=True) == frozenset()


def test_their_scans_are_left_out_with_the_reason_unless_they_are_kept(derivatives: Any) -> None:
    labels = [f"{kind}{i}" for kind in ("NC", "AD") for i in range(6)]
    derivatives.people(
        "participant_id\tdiagnosis\n" + "".join(f"sub-{x}\t{x[:2]}\n" for x in labels)
    )
    for label in labels:
        derivatives.scan(label)
        if label != "NC3":
            raw_image(derivatives.raw, f"sub-{label}")
    selection = plan(read(derivatives.context())).selection
    reasons = {scan.participant: scan.reason for scan in selection.candidates if scan.reason}
    assert reasons == {"sub-NC3": WITHDRAWN}
    kept = plan(read(derivatives.context(keep_withdrawn=True))).selection
    assert len(kept.included) == 12
