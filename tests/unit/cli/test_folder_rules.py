"""Folders that must not lie where they would: the words of every rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_xai.cli.folder_rules import FOLDER_RULES
from bids_xai.errors import UsageError
from bids_xai.settings import RunSettings
from bids_xai.workflows.rules import check_rules

BROKEN = [
    ("raw", None, "the output folder is the input folder", "choose another output folder", "raw"),
    (
        "raw/results",
        None,
        "the output folder lies inside the input folder",
        "choose another output folder, or one below derivatives/",
        "raw/results",
    ),
    (
        "out",
        "raw/derivatives/work",
        "the work folder lies inside the input folder",
        "choose another one",
        "raw/derivatives/work",
    ),
]


def settings(root: Path, output: str, work: str | None = None) -> RunSettings:
    return RunSettings(
        root / "raw", root / output, "participant", work_dir=None if work is None else root / work
    )


@pytest.mark.parametrize(("output", "work", "problem", "fix", "file"), BROKEN)
def test_the_words_of_every_rule(
    tmp_path: Path, output: str, work: str | None, problem: str, fix: str, file: str
) -> None:
    with pytest.raises(UsageError) as caught:
        check_rules(FOLDER_RULES, settings(tmp_path, output, work))
    assert (caught.value.problem, caught.value.fix) == (problem, fix)
    assert caught.value.file == str((tmp_path / file).resolve())


def test_every_rule_has_its_case() -> None:
    assert len(FOLDER_RULES) == len(BROKEN)


def test_a_link_to_the_input_is_the_input(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "raw")
    with pytest.raises(UsageError, match="is the input folder"):
        check_rules(FOLDER_RULES, settings(tmp_path, "link"))


def test_derivatives_of_the_input_and_its_neighbours_pass(tmp_path: Path) -> None:
    for output, work in (
        ("out", None),
        ("raw/derivatives/xai", None),  # its own work folder lies inside as well
        ("out", "work"),
        ("raw_out", "raw_work"),
    ):
        check_rules(FOLDER_RULES, settings(tmp_path, output, work))
