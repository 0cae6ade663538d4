"""The step report: the page of a study from its files alone, drawn where one of them changed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bids_xai.bids.files import write_json, write_text
from bids_xai.bids.stamps import STAMP, write_stamp
from bids_xai.errors import BadDataError
from bids_xai.group import failures, report
from bids_xai.group.context import GroupContext
from bids_xai.group.explain.step import write_predictions
from bids_xai.group.lineage import MODEL_KEY
from bids_xai.group.outcomes import prediction
from bids_xai.group.scans import Scan
from bids_xai.models.card import WEIGHTS
from bids_xai.reports.study import page as page_module
from bids_xai.reports.study import page_inputs
from bids_xai.reports.study.page import write_group_page
from bids_xai.reports.study_files import StudyFiles
from bids_xai.runtime.digests import sha256_of
from bids_xai.tables.predictions import PREDICTIONS


def page_of(output_dir: Path) -> str:
    return (output_dir / "group_quick.html").read_text()


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A page without sections, with a viewer beside it; one item a time that it is drawn."""
    times: list[str] = []

    def viewer(study: StudyFiles) -> Path:
        times.append(study.name)
        write_text(study.output_dir / "viewer" / "niivue.js", "script")
        return write_text(study.output_dir / f"group_{study.name}_viewer.html", "viewer")

    monkeypatch.setattr(page_module, "_SECTIONS", ())
    monkeypatch.setattr(page_module, "write_study_viewer", viewer)
    return times


@pytest.fixture
def context(derivatives: Any, drawn: list[str]) -> GroupContext:
    """A study with a page that is up to date."""
    made: GroupContext = derivatives.context()
    write_json(made.folder / "study.json", {"study": "quick"})
    write_text(made.folder / "performance.tsv", "configuration\n")
    assert report.run(made) == [made.output_dir / "group_quick.html"]
    assert drawn.pop() == "quick"
    return made


def test_what_was_sloppy_is_said_on_the_page(tmp_path: Path) -> None:
    study = tmp_path / "group" / "quick" / "study.json"
    study.parent.mkdir(parents=True)
    for content, said in (
        ({}, []),
        ({"sloppy": False, "sloppy_scans": 0}, []),
        ({"sloppy": True}, ["Made with --sloppy"]),
        ({"sloppy_scans": 12}, ["12 scans had coarse masks"]),
    ):
        study.write_text(json.dumps(content))
        page = page_of(write_group_page(tmp_path, "quick").parent)
        assert ("sloppy" in page) == bool(said)
        assert all(text in page for text in said)


def test_a_page_of_which_nothing_changed_is_left_as_it_is(
    context: GroupContext, drawn: list[str]
) -> None:
    pages = [context.output_dir / f"group_quick{tail}.html" for tail in ("", "_viewer")]
    before = [page.stat().st_mtime_ns for page in pages]
    assert report.run(context) == pages[:1]
    assert drawn == []
    assert [page.stat().st_mtime_ns for page in pages] == before


CHANGES: dict[str, Callable[[GroupContext, pytest.MonkeyPatch], object]] = {
    "table": lambda c, _: write_text(c.folder / "performance.tsv", "configuration\nA\n"),
    "new table": lambda c, _: write_text(c.folder / "splits.tsv", "split\n"),
    "settings": lambda c, _: write_json(c.folder / "study.json", {"study": "quick", "seed": 1}),
    "training": lambda c, _: write_text(c.model_folder("A", 0) / "training.tsv", "epoch\n"),
    "problem": lambda c, _: write_json(c.folder / "problems.json", {"train": "lost"}),
    "code": lambda _, m: m.setattr(page_inputs, "code_state", lambda *_: "other"),
    "version": lambda _, m: m.setattr("bids_xai.__version__", "9.9.9"),
    "page gone": lambda c, _: (c.output_dir / "group_quick.html").unlink(),
    "page cut": lambda c, _: write_text(c.output_dir / "group_quick.html", "<html>"),
    "viewer gone": lambda c, _: (c.output_dir / "group_quick_viewer.html").unlink(),
    "script gone": lambda c, _: (c.output_dir / "viewer" / "niivue.js").unlink(),
    "stamp damaged": lambda c, _: write_text(c.folder / page_inputs.STAMP, "{"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_kind_of_change_draws_the_page_again_once(
    context: GroupContext, drawn: list[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    CHANGES[name](context, monkeypatch)
    report.run(context)
    assert drawn == ["quick"]
    report.run(context)
    assert drawn == ["quick"]


def test_reports_only_draws_whatever_has_changed(context: GroupContext, drawn: list[str]) -> None:
    settings = dataclasses.replace(context.settings, reports_only=True)
    report.run(dataclasses.replace(context, settings=settings))
    assert drawn == ["quick"]
    report.run(context)
    assert drawn == ["quick"]


def test_a_page_with_what_could_not_be_drawn_is_drawn_and_refused_every_time(
    context: GroupContext, drawn: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where all is again as it was for a page that was whole."""

    def broken(_: StudyFiles) -> None:
        raise BadDataError("a damaged map", fix="make it again")

    stamp = (context.folder / page_inputs.STAMP).read_text()
    page = page_of(context.output_dir)
    with monkeypatch.context() as patch:
        patch.setattr(page_module, "write_study_viewer", broken)
        write_text(context.folder / "splits.tsv", "split\n")
        for _ in range(2):
            with pytest.raises(BadDataError, match="a damaged map"):
                report.run(context)
    assert "a damaged map" in page_of(context.output_dir)
    assert not (context.folder / page_inputs.STAMP).exists()  # not for the size of the page alone
    (context.folder / "splits.tsv").unlink()
    report.run(context)
    assert drawn == ["quick"]
    assert page_of(context.output_dir) == page
    assert (context.folder / page_inputs.STAMP).read_text() == stamp


def test_the_page_of_a_failure_is_drawn_again_once_it_is_mended(
    context: GroupContext, drawn: list[str]
) -> None:
    """The record of it is gone then, and every other file is as it was before."""
    page = page_of(context.output_dir)
    failures.report_failure(context, "spray", BadDataError("no disk", fix="free some"))
    assert "no disk" in page_of(context.output_dir)
    assert not (context.folder / page_inputs.STAMP).exists()  # not for the size of the page alone
    failures.forget(context, "spray")
    drawn.clear()
    report.run(context)
    assert drawn == ["quick"]
    assert page_of(context.output_dir) == page


def test_heatmaps_of_another_model_are_not_shown(context: GroupContext, drawn: list[str]) -> None:
    weights = context.model_folder("A", 0) / WEIGHTS
    write_text(weights, "trained once")
    scan = Scan("sub-01_ses-1", "01", "1", "AD", Path("map"), Path("mask"), None)
    row = prediction(context.study.target, "A", 0, scan, np.array([0.2, 0.8]))
    write_predictions(context.folder / PREDICTIONS.file, [row], context.study.target)
    stamp = context.relevance_folder("A", 0) / STAMP
    write_stamp(stamp, "", context.folder, [], **{MODEL_KEY: sha256_of(weights)})
    report.run(context)
    assert drawn.pop() == "quick"
    write_text(weights, "trained again")
    with pytest.raises(BadDataError, match="made by another model"):
        report.run(context)
    assert drawn == []
