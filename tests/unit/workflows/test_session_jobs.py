"""The stamp of a session tells how this session was made, whatever later runs do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from atlas_halves import CARD, user_atlas

from bids_xai.bids.records import Session, SourceImage
from bids_xai.reports.citation import preprocessing_methods
from bids_xai.settings import EMBEDDED_TEMPLATE, OutputSpace, RunSettings
from bids_xai.templates.grid import load_atlases
from bids_xai.workflows.readiness import ReadyModel
from bids_xai.workflows.session_jobs import explanation_job, preprocessing_job


def test_a_job_carries_its_methods_and_settings_without_paths(tmp_path: Path) -> None:
    image = tmp_path / "x.nii.gz"
    image.write_bytes(b"")
    atlas = tmp_path / "mine.nii.gz"
    atlas.write_bytes(b"")
    atlas.with_name("mine.tsv").write_text("")
    settings = RunSettings(
        Path("/in"),
        tmp_path / "out",
        "participant",
        sloppy=True,
        derivatives=(("lesions", tmp_path),),
        atlas=(f"Mine={atlas},{atlas.with_name('mine.tsv')}",),
        output_spaces=(OutputSpace(EMBEDDED_TEMPLATE),),
    )
    job = preprocessing_job(Session("01", None, SourceImage(image, "", {"sub": "01"})), settings)
    about = job.build.keywords["record"].provenance  # type: ignore[attr-defined]
    assert about["methods"] == preprocessing_methods(settings).plain
    assert about["settings"]["sloppy"] is True
    assert about["settings"]["derivatives"] == ["lesions"]
    assert about["settings"]["atlases"] == ["Mine"]
    assert str(tmp_path) not in str(about)


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> str:
    """``--atlas`` of a user's own atlas."""
    (embedded,) = load_atlases(EMBEDDED_TEMPLATE, ())
    return f"Halves={user_atlas(tmp_path_factory.mktemp('atlas'), embedded)}"


def digest(out: Path, *atlas: str) -> str:
    settings = RunSettings(
        Path("/in"),
        out,
        "participant",
        atlas=atlas,
        output_spaces=(OutputSpace(EMBEDDED_TEMPLATE, 2),),
    )
    t1w = SourceImage(out / "x.nii.gz", "", {"sub": "01"})
    job = explanation_job(Session("01", None, t1w), settings, ReadyModel(out / "m", CARD, "cpu"))
    assert job is not None
    return job.digest


def test_a_changed_atlas_is_summed_anew(
    tmp_path: Path, halves: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Nothing:
        files: tuple[Any, ...] = ()

    from bids_xai.workflows import explanation

    monkeypatch.setattr(explanation, "scan_files", lambda *_: [Nothing()])
    plain, mine = digest(tmp_path), digest(tmp_path, halves)
    assert plain != mine
    assert mine == digest(tmp_path, halves)
    image = Path(halves.partition("=")[2])
    for file in (image, image.with_name("halves_dseg.tsv")):
        stat = file.stat()
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 5_000_000_000))
        assert digest(tmp_path, halves) != mine
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
