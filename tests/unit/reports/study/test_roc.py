"""ROC curves from their table and from the predictions."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from study_cases import THREE, StudyCase, of_kind
from study_tables import write_rows

from bids_xai.bids.files import write_tsv
from bids_xai.errors import BadDataError
from bids_xai.reports.blocks import Picture
from bids_xai.reports.study.roc import roc, roc_points
from bids_xai.reports.study_files import StudyFiles
from bids_xai.tables.predictions import PERFORMANCE, PREDICTIONS, ROC


def test_roc_curves_are_drawn_from_their_table(
    three: StudyFiles, quick: dict[str, tuple[Any, ...]]
) -> None:
    section = roc(three)
    (bands,) = quick["roc_bands"]
    assert list(bands) == ["Configuration A", "Configuration B", "Baseline svm"]
    points = [point for point in three.rows(ROC) if point.configuration == "B"]
    band = bands["Configuration B"]
    np.testing.assert_allclose(band.tpr, [point.tpr for point in points])
    assert (band.low <= band.tpr + 1e-9).all()
    assert (band.tpr <= band.high + 1e-9).all()
    assert band.n_splits == 2
    areas = [
        row.auc
        for row in three.rows(PERFORMANCE)
        if row.configuration == "B" and row.auc is not None
    ]
    assert band.note == f"AUC {np.mean(areas):.2f} ± {statistics.stdev(areas):.2f}"
    (picture,) = of_kind(section, Picture)
    assert "AD against the others" in picture.caption
    assert picture.caption.endswith("Without a test set of both classes: Configuration C.")
    assert "roc_curves" not in quick


def test_roc_curves_fall_back_to_the_predictions(
    tmp_path: Path, quick: dict[str, tuple[Any, ...]]
) -> None:
    case = StudyCase(tmp_path, THREE)
    # of three classes, the outcome of a control taken for MCI is FN, but it is no patient
    rows = [
        {
            "participant_id": f"sub-{i}",
            "session_id": "n/a",
            "configuration": "A",
            "split": 0,
            "true_class": truth,
            "predicted_class": "MCI",
            "outcome": "FN",
            "probability": p,
        }
        for i, (truth, p) in enumerate([("NC", 0.1), ("MCI", 0.2), ("AD", 0.15), ("AD", 0.4)])
    ]
    write_rows(PREDICTIONS, case.folder, rows)
    roc(case.study)
    (curves,) = quick["roc_curves"]
    ((fpr, tpr),) = curves["Configuration A"]
    np.testing.assert_allclose(fpr, [0, 0, 0.5, 0.5, 1])
    np.testing.assert_allclose(tpr, [0, 0.5, 0.5, 1, 1])
    assert curves["Configuration B"] == []


@pytest.mark.usefixtures("quick")
def test_a_table_that_lacks_a_column_is_named(tmp_path: Path) -> None:
    case = StudyCase(tmp_path).perform(["A", "B"])
    write_tsv(
        case.folder / "roc.tsv",
        [{"configuration": "A", "fpr": 0.0}],
        {"configuration": "x", "fpr": "x"},
    )
    with pytest.raises(BadDataError, match=r"percentile_97_5.*roc\.tsv"):
        roc(case.study)


def test_roc_points_join_ties_and_end_in_both_corners() -> None:
    truth = np.array([True, False, True, False])
    fpr, tpr = roc_points(truth, np.array([0.9, 0.5, 0.5, 0.1]))
    np.testing.assert_allclose(fpr, [0, 0, 0.5, 1])
    np.testing.assert_allclose(tpr, [0, 0.5, 1, 1])


def test_the_area_under_roc_points_counts_ordered_pairs() -> None:
    rng = np.random.default_rng(0)
    truth, p = rng.random(40) > 0.4, rng.integers(0, 8, 40) / 8
    fpr, tpr = roc_points(truth, p)
    pairs = np.sign(p[truth][:, None] - p[~truth][None, :])
    assert np.trapezoid(tpr, fpr) == pytest.approx((pairs.mean() + 1) / 2)
