"""Pages are drawn, or why not is told; what failed is remembered until it is mended."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_xai.workflows.pages import read_problems, remember, write_pages


def test_a_page_that_cannot_be_drawn_is_told_and_the_others_are_made(tmp_path: Path) -> None:
    broken = tmp_path / "sub-01" / "anat" / "sub-01_qc.tsv"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"\xff\xfe no table")
    pages, undrawn = write_pages(tmp_path, ["01", "02"], {}, 1)
    assert pages == [tmp_path / "sub-02.html"]
    assert list(undrawn) == ["sub-01"]
    assert "could not be drawn" in undrawn["sub-01"]


def test_what_failed_is_kept_until_it_is_mended(tmp_path: Path) -> None:
    failed = {"sub-01_ses-1": "no EchoTime", "sub-02": "unreadable"}
    assert remember(tmp_path, ["01", "02", "03"], failed, ["sub-03"]) == failed
    assert read_problems(tmp_path, "01") == {"sub-01_ses-1": "no EchoTime"}
    assert read_problems(tmp_path, "03") == {}
    # another session fails: both are known; the first is mended: the second is left
    both = remember(tmp_path, ["01"], {"sub-01_ses-2": "one echo"}, [])
    assert both == {"sub-01_ses-1": "no EchoTime", "sub-01_ses-2": "one echo"}
    assert remember(tmp_path, ["01"], {}, ["sub-01_ses-1"]) == {"sub-01_ses-2": "one echo"}
    assert remember(tmp_path, ["01"], {}, ["sub-01_ses-2"]) == {}
    # a participant that could not even begin is mended by any session that is well
    assert remember(tmp_path, ["02"], {}, ["sub-02_ses-1"]) == {}
    assert not list(tmp_path.rglob("problems.json"))


def test_the_same_failure_again_changes_no_file(tmp_path: Path) -> None:
    remember(tmp_path, ["01"], {"sub-01": "unreadable"}, [])
    (file,) = tmp_path.rglob("problems.json")
    before = file.stat().st_mtime_ns
    remember(tmp_path, ["01"], {"sub-01": "unreadable"}, [])
    assert file.stat().st_mtime_ns == before


def test_pages_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bids_xai.runtime.progress.FIRST_S", 0.0)
    caplog.set_level("INFO", "bids_xai")
    write_pages(tmp_path, ["01", "02"], {}, 1)
    (said,) = caplog.messages
    assert said.strip().startswith("1 of 2 pages done, about ")
