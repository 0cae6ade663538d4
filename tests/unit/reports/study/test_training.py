"""How trainings went, and random searches."""

from __future__ import annotations

from pathlib import Path

import pytest
from study_cases import StudyCase, cells, of_kind, texts
from study_tables import write_rows

from bids_xai.reports.blocks import TableBlock
from bids_xai.reports.study import training as training_module
from bids_xai.reports.study.training import training
from bids_xai.reports.study_files import StudyFiles
from bids_xai.tables.training import SEARCH


@pytest.mark.usefixtures("quick")
def test_convergence_is_the_mean_over_splits(two: StudyFiles) -> None:
    (table,) = of_kind(training(two), TableBlock)
    lines = cells(table)
    assert list(lines) == ["A", "B", "C"]
    # 10, 11, 12 epochs; 5000, 10000, 15000 s
    hours = 5000 / 3600
    assert lines["A"] == {
        "Splits": "3",
        "Epochs": "11.0 ± 1.0",
        "Duration": f"{2 * hours:.1f} ± {hours:.1f} h",
    }


@pytest.mark.usefixtures("quick")
def test_convergence_that_was_not_recorded_is_said(three: StudyFiles) -> None:
    section = training(three)
    assert "Epochs and duration of the training were not recorded." in texts(section)


def test_durations_have_a_unit_that_suits() -> None:
    assert training_module._unit(119.0) == (1.0, " s")
    assert training_module._unit(600.0) == (60.0, " min")
    assert training_module._unit(7200.0) == (3600.0, " h")


@pytest.mark.usefixtures("quick")
def test_random_searches_are_listed_by_split(tmp_path: Path) -> None:
    case = StudyCase(tmp_path).perform(["A"])
    for k in (10, 2):
        rows = [
            {
                "draw": d,
                "values": f"training.batch_size={2 + d}",
                "validation_loss": 0.5,
                "validation_balanced_accuracy": None if d == 3 else 0.6 + 0.1 * d,
                "epochs": 9,
                "seconds": 100.0,
                "kept": d == 1,
            }
            for d in range(4)
        ]
        write_rows(SEARCH, case.context.model_folder("B", k), rows)
    table = of_kind(training(case.study), TableBlock)[-1]
    lines = cells(table)
    assert list(lines) == ["B, split 2", "B, split 10"]
    assert list(lines["B, split 2"].values()) == [
        "4",
        "training.batch_size=3",
        "70.0 %",
        "60.0 % to 80.0 %",
        "6.7 min",
    ]
