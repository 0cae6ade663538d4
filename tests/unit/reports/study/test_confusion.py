"""Confusion matrices, counted."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from study_cases import THREE, StudyCase, cells, of_kind

from bids_xai.reports.blocks import TableBlock
from bids_xai.reports.study.performance import performance
from bids_xai.reports.study_files import StudyFiles


@pytest.mark.usefixtures("quick")
def test_the_confusion_table_counts_the_predictions(
    three: StudyFiles, quick: dict[str, tuple[Any, ...]]
) -> None:
    case = StudyCase(three.output_dir, THREE)
    rows = [row for k in range(2) for row in case.scans("B", k)]
    (table,) = (
        t for t in of_kind(performance(three), TableBlock) if "Id and true class" in t.header
    )
    lines = cells(table)
    square = quick["confusion_matrices"][0]["Configuration B"]
    for (i, truth), (j, predicted) in product(enumerate(THREE), enumerate(THREE)):
        n = sum((r["true_class"], r["predicted_class"]) == (truth, predicted) for r in rows)
        of_truth = sum(r["true_class"] == truth for r in rows)
        assert square[i, j] == n
        assert lines[f"B, {truth}"][f"Predicted {predicted}"] == f"{n} ({100 * n / of_truth:.0f} %)"


@pytest.mark.usefixtures("quick")
def test_two_classes_need_no_confusion_matrix(two: StudyFiles) -> None:
    section = performance(two)
    assert not [t for t in of_kind(section, TableBlock) if "Id and true class" in t.header]
