"""Which steps run, and the page that is left where one of them fails."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bids_xai.errors import BadDataError, InterruptedRunError, UsageError
from bids_xai.group import STEPS
from bids_xai.group.run import _chosen, _report_failure
from bids_xai.settings import RunSettings


def settings(**options: Any) -> RunSettings:
    return RunSettings(Path("/in"), Path("/out"), "group", **options)


def test_steps_keep_their_order_and_pages_alone_are_one_step() -> None:
    assert _chosen(settings()) == list(STEPS)
    assert _chosen(settings(steps=("train", "cohort"))) == ["cohort", "train"]
    assert _chosen(settings(reports_only=True)) == ["report"]
    with pytest.raises(UsageError, match="do not go together"):
        _chosen(settings(reports_only=True, steps=("train",)))


def context(output_dir: Path) -> Any:
    folder = output_dir / "group" / "quick"
    return cast(
        "Any",
        SimpleNamespace(output_dir=output_dir, folder=folder, study=SimpleNamespace(name="quick")),
    )


def test_a_failed_step_leaves_a_page_that_says_so(tmp_path: Path) -> None:
    error = BadDataError("the loss is not a number", file="a.tsv", fix="lower the rate")
    here = context(tmp_path)
    _report_failure(here, "train", error)
    assert not list(tmp_path.iterdir())  # nothing was there to be shown
    here.folder.mkdir(parents=True)
    _report_failure(here, "train", InterruptedRunError("stopped"))
    assert not list(tmp_path.glob("*.html"))  # stopped is not failed
    _report_failure(here, "train", error)
    page = (tmp_path / "group_quick.html").read_text()
    assert "The step train failed" in page
    assert "the loss is not a number [a.tsv]. Fix: lower the rate." in page
    assert page.index("The step train failed") < page.index("cohort.tsv")
