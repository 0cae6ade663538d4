"""One study on disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from study_cases import BASELINES, NAME, THREE, StudyCase, texts
from study_tables import write_rows

from bids_xai.reports.blocks import Section
from bids_xai.reports.study.cohort import cohort
from bids_xai.reports.study.comparisons import comparisons
from bids_xai.reports.study.performance import performance
from bids_xai.reports.study.training import training
from bids_xai.reports.study_description import StudyDescription
from bids_xai.reports.study_files import StudyFiles, baselines, natural, split_words
from bids_xai.studies.tables import Splits
from bids_xai.tables.atlas import GAIN
from bids_xai.tables.cohort import COHORT
from bids_xai.tables.predictions import (
    CALIBRATION,
    COMPARISONS,
    CONFUSION,
    PERFORMANCE_SUMMARY,
    PREDICTIONS,
)
from bids_xai.tables.table import Table as AnyTable
from bids_xai.tables.training import TRAINING


def test_a_name_that_only_the_tables_know_is_a_baseline(tmp_path: Path) -> None:
    case = StudyCase(tmp_path, baselines=BASELINES[:1])
    case.perform(["A", "svm"])
    description = dataclasses.replace(case.study.description, settings=None)
    study = dataclasses.replace(case.study, description=description)
    assert baselines(study) == {"svm": None}
    assert list(baselines(case.study)) == ["svm"]


def test_splits_are_called_what_they_are(tmp_path: Path) -> None:
    words = [
        split_words(StudyCase(tmp_path / str(i), splits=splits).study, 10)
        for i, splits in enumerate(
            (Splits(), Splits("kfold"), Splits("fixed"), Splits(repeats=5, repetitions=2))
        )
    ]
    assert words == [
        "10 random splits",
        "10 folds",
        "10 splits",
        "10 trainings on random splits, 2 on each",
    ]
    assert split_words(StudyFiles(tmp_path, NAME, StudyDescription()), 4) == "4 random splits"


@pytest.mark.parametrize(
    ("table", "section"),
    [
        (PERFORMANCE_SUMMARY, performance),
        (CALIBRATION, performance),
        (CONFUSION, performance),
        (COMPARISONS, comparisons),
        (PERFORMANCE_SUMMARY, training),
        (COHORT, cohort),
    ],
)
def test_a_missing_table_leaves_a_remark(
    tmp_path: Path, table: AnyTable[Any], section: Callable[[StudyFiles], Section]
) -> None:
    case = StudyCase(tmp_path, THREE).perform(["A", "B"])
    (case.folder / table.file).unlink(missing_ok=True)
    assert [
        text
        for text in texts(section(case.study))
        if table.file in text and f"(--steps {table.step})" in text
    ]


def test_a_table_without_lines_counts_as_missing(tmp_path: Path) -> None:
    study = StudyFiles(tmp_path, NAME, StudyDescription())
    COHORT.write(study.folder / COHORT.file, [])
    assert study.rows(COHORT) == []
    assert study.rows(GAIN, "atlas") == []
    assert "group/tiny/atlas/gain.tsv does not exist" in study.missing(GAIN, "atlas").text


def test_configurations_without_a_file_are_those_trained_else_those_that_predict(
    tmp_path: Path,
) -> None:
    study = StudyFiles(tmp_path, NAME, StudyDescription())
    assert study.identifiers == []
    write_rows(PREDICTIONS, study.folder, [{"configuration": name} for name in "BAB"])
    assert study.identifiers == ["A", "B"]
    (study.models / "C").mkdir(parents=True)
    assert study.identifiers == ["C"]


def test_trainings_stand_in_the_order_of_their_splits(tmp_path: Path) -> None:
    study = StudyFiles(tmp_path, NAME, StudyDescription())
    for split, n in ((10, 1), (2, 3), (1, 0)):
        epochs = [{"epoch": k + 1} for k in range(n)]
        write_rows(TRAINING, study.models / "A" / f"split-{split}", epochs)
    assert {name: [len(s) for s in splits] for name, splits in study.training().items()} == {
        "A": [3, 1]
    }
    assert sorted(["split-10", "split-2"], key=natural) == ["split-2", "split-10"]
