"""The participant level as a whole: pages alone, and what a dry run leaves."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from bids_xai.bids import run_log
from bids_xai.errors import NothingMatchedError
from bids_xai.settings import RunSettings
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
