"""The step report: the page of a study from its files alone."""

from __future__ import annotations

import json
from pathlib import Path

from bids_xai.reports.study.page import write_group_page


def page_of(output_dir: Path) -> str:
    return (output_dir / "group_quick.html").read_text()


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
