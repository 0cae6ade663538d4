"""The page that is left where a step fails, until it succeeds."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bids_xai.errors import BadDataError, InterruptedRunError
from bids_xai.group.failures import forget, report_failure
from bids_xai.reports.study.page import write_group_page
from bids_xai.settings import RunSettings


def context(output_dir: Path, **options: Any) -> Any:
    folder = output_dir / "group" / "quick"
    study = SimpleNamespace(name="quick")
    chosen = RunSettings(Path("/in"), output_dir, "group", **options)
    return cast(
        "Any", SimpleNamespace(output_dir=output_dir, folder=folder, study=study, settings=chosen)
    )


def page_of(output_dir: Path) -> str:
    return (output_dir / "group_quick.html").read_text()


def test_a_failed_step_leaves_a_page_that_says_so(tmp_path: Path) -> None:
    error = BadDataError("the loss is not a number", file="a.tsv", fix="lower the rate")
    here = context(tmp_path)
    report_failure(here, "train", InterruptedRunError("stopped"))
    assert not list(tmp_path.glob("*.html"))  # stopped is not failed
    report_failure(here, "train", error)  # nothing else is there to be shown
    page = page_of(tmp_path)
    assert "The step train failed" in page
    assert "the loss is not a number [a.tsv]. Fix: lower the rate." in page
    assert page.index("The step train failed") < page.index("cohort.tsv")


def test_a_study_that_was_refused_shows_why_and_no_empty_sections(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    here = context(tmp_path)
    report_failure(here, "cohort", BadDataError("fewer than two classes", fix="add controls"))
    page = page_of(tmp_path)
    assert "fewer than two classes. Fix: add controls." in page
    assert "The study did not start" in page
    assert page.count("<h2") == 1
    assert "are shown in" not in caplog.text
    here.folder.mkdir(parents=True, exist_ok=True)
    (here.folder / "cohort.tsv").write_text("participant_id\tincluded\n")
    report_failure(here, "cohort", BadDataError("fewer than two classes", fix="add controls"))
    page = page_of(tmp_path)  # what an earlier run left is still shown
    assert "The study did not start" not in page
    assert page.count("<h2") > 5
    assert "are shown in" in caplog.text


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("odd shape"), "ValueError: odd shape. This looks like a bug. Fix: "),
        (OSError(28, "No space left on device", "/x"), "No space left on device"),
        (MemoryError(), "out of memory (no details available). Fix: use a smaller batch"),
    ],
)
def test_what_failed_is_said_until_the_step_succeeds(
    tmp_path: Path, error: Exception, words: str
) -> None:
    here = context(tmp_path)
    report_failure(here, "explain", error)
    assert words in page_of(tmp_path)
    write_group_page(tmp_path, "quick")  # as --reports-only does
    assert words in page_of(tmp_path)
    forget(here, "cohort")
    assert words in write_group_page(tmp_path, "quick").read_text()
    forget(here, "explain")
    assert words not in write_group_page(tmp_path, "quick").read_text()
    assert not list(tmp_path.rglob("problems.json"))


def test_a_part_of_the_trainings_mends_that_part_alone(tmp_path: Path) -> None:
    one, other = (context(tmp_path, configuration=("A",), split=(k,)) for k in (0, 1))
    report_failure(one, "train", BadDataError("first"))
    report_failure(other, "train", BadDataError("second"))
    forget(one, "train")
    file = tmp_path / "group" / "quick" / "problems.json"
    assert json.loads(file.read_text()) == {"train --configuration A --split 1": "second."}
    forget(context(tmp_path), "train")
    assert not file.exists()
