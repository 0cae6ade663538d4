"""Options that do not go together are refused before any work."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from bids_xai.bids import run_log
from bids_xai.errors import NothingMatchedError, UsageError
from bids_xai.settings import OutputSpace, RunSettings
from bids_xai.workflows.pages import read_problems, remember, write_pages, written_participants
from bids_xai.workflows.participant import _check_options, run_participants

OTHER = (("q", Path("/q")),)


def settings(**options: Any) -> RunSettings:
    return RunSettings(Path("/in"), Path("/out"), "participant", **options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"inputs": ("R1map",)}, "R1map are maps made elsewhere"),
        ({"brain_mask": "derivatives"}, "needs a dataset"),
        ({"brain_mask": "synthstrip"}, "needs the weights"),
        ({"synthstrip_model": Path("s.pt")}, "no effect without --brain-mask synthstrip"),
        (
            {"registration_engine": "greedy", "registration": "linear"},
            "no effect with --registration linear",
        ),
        ({"derivatives": (("raw", Path("/q")),)}, "'raw' is the input folder"),
        ({"derivatives": (*OTHER, *OTHER)}, "names must differ"),
        ({"inputs": ("megre", "R2starmap"), "derivatives": OTHER}, "would have one name"),
        ({"noise_floor": 3.0, "r2star_method": "arlo"}, "--noise-floor is not for arlo"),
        ({"rician": True, "r2star_method": "loglin"}, "--rician is not for loglin"),
        (
            {"model": Path("m"), "output_spaces": (OutputSpace("T", 2, "1"),)},
            "--model does not know the cohorts",
        ),
        ({"atlas": ("A=/a.nii", "A=/b.nii")}, "two --atlas share a name"),
        (
            {"output_spaces": (OutputSpace("T", 1, "1"), OutputSpace("T", 1, "2"))},
            "two cohorts of one template",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text) as caught:
        _check_options(settings(**options))
    assert caught.value.fix


def test_what_goes_together_passes() -> None:
    _check_options(settings())
    _check_options(settings(inputs=("megre", "R1map"), derivatives=OTHER, brain_mask="derivatives"))
    _check_options(settings(noise_floor=3.0, rician=True))
    _check_options(settings(output_spaces=(OutputSpace("T", 1, "1"), OutputSpace("T", 2, "1"))))


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


def test_pages_alone_are_drawn_for_those_that_have_files_or_failed(tmp_path: Path) -> None:
    remember(tmp_path, ["02"], {"sub-02": "unreadable"}, [])
    (tmp_path / "sub-01" / "anat").mkdir(parents=True)
    assert written_participants(tmp_path, []) == ["01", "02"]
    assert written_participants(tmp_path, ["sub-02"]) == ["02"]
    with pytest.raises(NothingMatchedError, match="nothing to report of sub-07"):
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


def test_pages_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bids_xai.runtime.progress.FIRST_S", 0.0)
    caplog.set_level("INFO", "bids_xai")
    write_pages(tmp_path, ["01", "02"], {}, 1)
    (said,) = caplog.messages
    assert said.strip().startswith("1 of 2 pages done, about ")
