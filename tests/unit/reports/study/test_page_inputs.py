"""What decides on the page of a study: all that it opens, and no more of the cohort than that."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bids_xai.bids.files import write_json, write_text
from bids_xai.reports.study import page_inputs as module
from bids_xai.reports.study.page import write_group_page
from bids_xai.reports.study.page_inputs import page_inputs

STUDY = "tiny"  # of conftest.py
OPENED: list[Path] | None = None
"""What is opened or listed while it is a list; an audit hook cannot be taken away."""


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if OPENED is not None and event in ("open", "os.scandir", "os.listdir"):
        path = arguments[0]
        if isinstance(path, (str, os.PathLike)):
            OPENED.append(Path(path))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every file and folder that is opened from now on."""
    paths: list[Path] = []
    monkeypatch.setattr(sys.modules[__name__], "OPENED", paths)
    sys.addaudithook(_note)
    return paths


def in_group(name: str, content: str = "changed") -> Callable[[Path], object]:
    return lambda out: write_text(out / "group" / STUDY / name, content)


def add_line(name: str) -> Callable[[Path], object]:
    def change(out: Path) -> None:
        file = out / name
        file.write_text(file.read_text() + "\n")

    return change


CHANGES: dict[str, Callable[[Path], object]] = {
    "a table": add_line(f"group/{STUDY}/performance.tsv"),
    "the settings": add_line(f"group/{STUDY}/study.json"),
    "a step failed": in_group("problems.json", '{"train": "lost"}'),
    "a picture of SpRAy": in_group("spray/A_T1w/heatmaps.png"),
    "a table is gone": lambda out: (out / "group" / STUDY / "comparisons.tsv").unlink(),
    "a table is new": in_group("quality/summary.tsv"),
    "a mean map": in_group("means/configuration-A_group-AD_mean.nii.gz"),
    "a training": add_line(f"models/{STUDY}/A/split-0/training.tsv"),
    "one more training": lambda out: write_text(
        out / "models" / STUDY / "A" / "split-2" / "training.tsv", "epoch\n"
    ),
    "a training elsewhere": lambda out: (out / "models" / STUDY / "B").rename(
        out / "models" / STUDY / "D"
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_what_is_shown_is_a_change_of_the_inputs(study_dir: Path, name: str) -> None:
    before = page_inputs(study_dir, STUDY)
    assert page_inputs(study_dir, STUDY) == before
    CHANGES[name](study_dir)
    assert page_inputs(study_dir, STUDY) != before


def test_the_same_size_at_another_time_is_a_change(study_dir: Path) -> None:
    before = page_inputs(study_dir, STUDY)
    file = study_dir / "group" / STUDY / "performance.tsv"
    os.utime(file, ns=(1, file.stat().st_mtime_ns + 1))
    assert page_inputs(study_dir, STUDY) != before


def test_the_code_that_draws_is_an_input(study_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = page_inputs(study_dir, STUDY)
    monkeypatch.setattr(module, "code_state", lambda *_: "another")
    assert page_inputs(study_dir, STUDY) != before


def test_single_heatmaps_other_studies_and_stamps_are_no_inputs(study_dir: Path) -> None:
    before = page_inputs(study_dir, STUDY)
    for name in (
        f"group/{STUDY}/relevance/configuration-A/split-0/sub-01_relmap.nii.gz",
        f"group/{STUDY}/{module.STAMP}",
        f"group/{STUDY}/.tmp-1234",
        "group/other/performance.tsv",
        "models/other/A/split-0/training.tsv",
        f"group_{STUDY}.html",
        "sub-01/anat/sub-01_space-MNI152NLin2009aSym_res-2_desc-preproc_T1w.nii.gz",
    ):
        write_text(study_dir / name, "new")
    assert page_inputs(study_dir, STUDY) == before


def test_a_template_of_templateflow_is_an_input_and_so_is_what_stands_in_for_it(
    study_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "flow"
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(home))
    write_json(study_dir / "group" / STUDY / "study.json", {"template": "Other"})
    states = [page_inputs(study_dir, STUDY)]
    for file in (
        home / "tpl-Other" / "tpl-Other_res-02_T1w.nii.gz",
        home / "tpl-Third" / "tpl-Third_atlas-A_dseg.tsv",  # names of labels may come from there
        study_dir / "sub-01" / "ses-1" / "anat" / "sub-01_ses-1_space-Other_res-2_T1w.nii.gz",
    ):
        write_text(file, "new")
        states.append(page_inputs(study_dir, STUDY))
    assert all(a != b for a, b in pairwise(states))
    write_text(home / "tpl-Third" / "tpl-Third_res-02_T1w.nii.gz", "new")
    assert page_inputs(study_dir, STUDY) == states[-1]


def test_a_damaged_description_is_an_input_like_any_other(study_dir: Path) -> None:
    write_text(study_dir / "group" / STUDY / "study.json", "{")
    before = page_inputs(study_dir, STUDY)
    write_text(study_dir / "group" / STUDY / "study.json", "[")
    assert len(before["files"]) > 50
    os.utime(study_dir / "group" / STUDY / "study.json", ns=(1, 1))
    assert page_inputs(study_dir, STUDY) != before


def test_all_that_the_page_opens_below_the_output_folder_is_an_input(
    study_dir: Path, opened: list[Path]
) -> None:
    """What a section reads that is not among the inputs would leave a stale page."""
    inputs = {state.partition(":")[0] for state in page_inputs(study_dir, STUDY)["files"]}
    opened.clear()
    write_group_page(study_dir, STUDY)
    below = {path.relative_to(study_dir) for path in opened if path.is_relative_to(study_dir)}
    written = (".tmp-", f"group_{STUDY}", "niivue-", "LICENSE")
    read = {
        path
        for path in below
        if not (study_dir / path).is_dir() and not path.name.startswith(written)
    }
    assert len(read) > 50
    assert {str(path) for path in read} <= inputs
    assert not [path for path in below if module._NOT_SHOWN[0] in path.parts]
