"""``study.json``: the first step begins it, others add to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import bids_xai
from bids_xai.errors import BadDataError
from bids_xai.group.study_file import add_to_study, is_in_study, write_study
from bids_xai.reports.study_description import StudyDescription
from bids_xai.studies.schema import load_study

OPTIONS: dict[str, Any] = {"template": "T", "seed": 7, "sloppy": True}


def content(file: Path) -> Any:
    return json.loads(file.read_text())


def test_the_study_and_its_cohort_are_described(tmp_path: Path) -> None:
    study = load_study("tinauer2025")
    written = content(write_study(tmp_path, study, sloppy_scans=3, **OPTIONS))
    assert written["study"] == "tinauer2025"
    assert (written["template"], written["seed"], written["sloppy"]) == ("T", 7, True)
    assert written["classes"] == list(study.target.names)
    assert written["positive"] == study.target.positive_name
    assert written["sloppy_scans"] == 3
    assert [entry["id"] for entry in written["configurations"]] == [
        configuration.id for configuration in study.configurations
    ]
    assert written["versions"] == {"bids_xai": bids_xai.__version__}


def test_what_later_steps_add_stays(tmp_path: Path) -> None:
    study = load_study("tinauer2025")
    write_study(tmp_path, study, **OPTIONS)
    add_to_study(tmp_path, atlas="Nuclei", versions={"torch": "2"})
    written = content(write_study(tmp_path, study, **OPTIONS | {"seed": 8}))
    assert written["atlas"] == "Nuclei"
    assert written["seed"] == 8
    assert written["versions"] == {"torch": "2", "bids_xai": bids_xai.__version__}


def test_a_damaged_file_is_written_anew_by_the_first_step_alone(tmp_path: Path) -> None:
    """Another step would leave it without the classes."""
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(BadDataError):
        add_to_study(tmp_path, atlas="Nuclei")
    write_study(tmp_path, load_study("tinauer2025"), **OPTIONS)
    assert content(add_to_study(tmp_path, atlas="Nuclei"))["study"] == "tinauer2025"


def test_keys_are_there_whatever_they_hold(tmp_path: Path) -> None:
    assert not is_in_study(tmp_path, "atlas")
    add_to_study(tmp_path, atlas=None, resolution=2)
    assert is_in_study(tmp_path, "atlas", "resolution")
    assert not is_in_study(tmp_path, "atlas", "spray")


def test_a_flipped_bit_is_told_until_the_first_step_writes_it_anew(tmp_path: Path) -> None:
    """A class of another name on the page, and nobody told."""
    study = load_study("tinauer2025")
    file = write_study(tmp_path, study, **OPTIONS)
    add_to_study(tmp_path, atlas="Nuclei", resolution=float("nan"))
    assert is_in_study(tmp_path, "atlas")
    file.write_text(file.read_text().replace('"Nuclei"', '"Nuclej"'))
    for reads in (
        lambda: add_to_study(tmp_path, more=1),
        lambda: is_in_study(tmp_path, "atlas"),
        lambda: StudyDescription.read(file),
    ):
        with pytest.raises(BadDataError, match=r"damaged or was changed.*--steps cohort") as caught:
            reads()
        assert caught.value.file == str(file)
    write_study(tmp_path, study, **OPTIONS)
    assert not is_in_study(tmp_path, "atlas")  # the step that writes it does so again
    assert StudyDescription.read(file).is_written
