"""The participant level as a whole: pages alone, and what a dry run leaves."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bids_xai.bids import run_log
from bids_xai.bids.files import write_json, write_nifti
from bids_xai.errors import BadDataError, NothingMatchedError
from bids_xai.settings import EMBEDDED_TEMPLATE, OutputSpace, RunSettings
from bids_xai.workflows import participant as level
from bids_xai.workflows.jobs import Outcome
from bids_xai.workflows.pages import remember, written_participants
from bids_xai.workflows.participant import run_participants


def test_pages_alone_are_drawn_for_those_that_have_files_or_failed(tmp_path: Path) -> None:
    remember(tmp_path, ["02"], {"sub-02": "unreadable"}, [])
    (tmp_path / "sub-01" / "anat").mkdir(parents=True)
    assert written_participants(tmp_path, []) == ["01", "02"]
    assert written_participants(tmp_path, ["sub-02"]) == ["02"]
    with pytest.raises(NothingMatchedError, match="nothing to report for sub-07"):
        written_participants(tmp_path, ["07"])
    with pytest.raises(NothingMatchedError, match="nothing to report"):
        written_participants(tmp_path / "empty", [])
    only = RunSettings(tmp_path / "gone", tmp_path, "participant", reports_only=True, nprocs=1)
    run = run_participants(only)
    assert [page.name for page in run.pages] == ["sub-01.html", "sub-02.html"]
    assert run.failed == {}
    assert "unreadable" in (tmp_path / "sub-02.html").read_text()


def test_pages_alone_leave_a_log_and_a_dry_run_none(tmp_path: Path) -> None:
    (tmp_path / "sub-01" / "anat").mkdir(parents=True)
    only = RunSettings(tmp_path / "gone", tmp_path, "participant", reports_only=True, nprocs=1)
    try:
        run_log.start(["bids_xai"])
        run_participants(dataclasses.replace(only, dry_run=True))
        assert not (tmp_path / "logs").exists()
        run_participants(only)
    finally:
        run_log.stop()
    (file,) = tmp_path.glob("logs/*/run.log")
    assert "1 page(s) written" in file.read_text()


@pytest.fixture
def two_echoes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunSettings:
    """A participant with two echoes and a UNIT1 image; the work itself is left out."""
    raw = tmp_path / "raw"
    write_json(raw / "dataset_description.json", {"Name": "tiny", "BIDSVersion": "1.10.0"})
    (raw / "sub-01" / "anat").mkdir(parents=True)
    for name, sidecar in (
        ("echo-1_MEGRE", {"EchoTime": 0.01}),
        ("echo-2_MEGRE", {"EchoTime": 0.02}),
        ("UNIT1", {}),
    ):
        stem = raw / "sub-01" / "anat" / f"sub-01_{name}"
        write_nifti(stem.with_suffix(".nii.gz"), np.ones((2, 2, 2)), np.eye(4))
        write_json(stem.with_suffix(".json"), sidecar)

    def run(jobs: Any, *_: Any, **__: Any) -> Outcome:
        return Outcome(done=[job.label for job in jobs])

    monkeypatch.setattr(level, "run_jobs", run)
    monkeypatch.setattr(level, "ready_templates", lambda _: [])
    spaces = (OutputSpace(EMBEDDED_TEMPLATE),)
    return RunSettings(raw, tmp_path / "out", "participant", output_spaces=spaces, nprocs=1)


def test_an_estimator_that_cannot_use_the_echoes_is_told_of_sessions_that_were_kept(
    two_echoes: RunSettings,
) -> None:
    run_participants(two_echoes)
    assert (two_echoes.output_dir / "logs" / "sub-01" / "sessions.json").is_file()
    arlo = dataclasses.replace(two_echoes, r2star_method="arlo", dry_run=True)
    with pytest.raises(BadDataError, match="needs at least three echoes, found 2"):
        run_participants(arlo)


def test_a_session_without_t1w_fails_with_the_image_that_may_be_meant(
    two_echoes: RunSettings,
) -> None:
    message = run_participants(two_echoes).failed["sub-01"]
    assert "Fix: add a T1w image of the same session (no T1w image, but sub-01_UNIT1" in message
    assert 'give --bids-filter-file with {"t1w": {"suffix": "UNIT1"}}' in message
