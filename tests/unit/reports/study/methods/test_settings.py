"""All settings and versions that a study file records."""

from __future__ import annotations

import json
from pathlib import Path

from study_cases import described

from bids_xai.bids.files import write_json
from bids_xai.bids.integrity import sealed
from bids_xai.reports.blocks import Details, TableBlock, Text
from bids_xai.reports.study.methods.settings import settings
from bids_xai.reports.study_files import StudyFiles


def test_settings_are_listed_as_they_are_recorded(tmp_path: Path) -> None:
    study = described("quick", tmp_path)
    file = study.folder / "study.json"
    plain = json.loads(file.read_text())
    plain["settings"]["training"] = {"epochs": 3, "future": [1, 2]}
    write_json(file, sealed(plain))
    general, versions, every = settings(StudyFiles.at(tmp_path, "quick")).blocks
    assert isinstance(general, TableBlock)
    assert general.rows == (
        ("Template", "T"),
        ("Resolution", "n/a"),
        ("Method", "lrp-zplus"),
        ("Atlas", "n/a"),
        ("Seed", str(plain["seed"])),
    )
    assert isinstance(versions, TableBlock)
    assert versions.rows == (("bids_xai", "v1.2"), ("torch", "v2.7"))
    assert isinstance(every, Details)
    (table,) = every.blocks
    assert isinstance(table, TableBlock)
    rows = dict(row[:2] for row in table.rows)
    # neither less nor more than the file holds
    assert [row for row in rows if row.startswith("training.")] == [
        "training.epochs",
        "training.future",
    ]
    assert rows["training.future"] == "1, 2"
    assert every.summary == f"All {len(rows)} settings of the study"


def test_without_a_file_the_step_is_named(tmp_path: Path) -> None:
    (remark,) = settings(StudyFiles.at(tmp_path, "none")).blocks
    assert isinstance(remark, Text)
    assert "group/none/study.json" in remark.text
    assert "--steps cohort" in remark.text
