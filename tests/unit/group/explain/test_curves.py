"""ROC, calibration and confusion of some predictions, against counts by hand."""

from __future__ import annotations

import numpy as np
import pytest
from prediction_rows import as_prediction

from bids_xai.group.explain.curves import (
    by_split,
    calibration_bins,
    confusion_cells,
    of_configuration,
    roc_points,
)
from bids_xai.tables.predictions import Prediction


def predicted(name: str, split: int, scans: list[tuple[str, float]]) -> list[Prediction]:
    return [
        as_prediction(
            {
                "configuration": name,
                "split": split,
                "participant_id": f"sub-{number}",
                "true_class": truth,
                "predicted_class": "AD" if p >= 0.5 else "NC",
                "probability": p,
            }
        )
        for number, (truth, p) in enumerate(scans)
    ]


SCANS: list[tuple[str, float]] = [("AD", 0.9), ("NC", 0.8), ("AD", 0.6), ("NC", 0.1)]


def test_rows_are_taken_by_name_and_split() -> None:
    rows = predicted("A", 10, SCANS) + predicted("B", 1, SCANS) + predicted("A", 2, SCANS[:1])
    of_a = of_configuration(rows, "A")
    assert [row.split for row in of_a] == [10, 10, 10, 10, 2]
    assert [[row.split for row in part] for part in by_split(of_a)] == [[2], [10] * 4]


def test_the_area_under_the_mean_curve_is_the_mean_auc() -> None:
    """Pairs AD > NC: three of four in split 0, all in split 1; split 2 has one class."""
    rows = predicted("A", 0, SCANS) + predicted("A", 1, [("AD", 0.9), ("NC", 0.2)])
    rows += predicted("A", 2, [("AD", 0.9)])
    points = roc_points(rows, ["A", "B"], "AD")
    assert {point.configuration for point in points} == {"A"}
    assert {point.n_splits for point in points} == {2}
    fpr, tpr = [p.fpr for p in points], [p.tpr for p in points]
    assert (fpr[0], fpr[-1], tpr[-1]) == (0, 1, 1)
    assert np.trapezoid(np.array(tpr, float), fpr) == pytest.approx((0.75 + 1) / 2, abs=0.01)
    assert all(p.percentile_2_5 <= p.tpr <= p.percentile_97_5 for p in points)  # type: ignore[operator]


def test_bins_of_calibration_hold_all_scans() -> None:
    low, *_, high = calibration_bins(predicted("A", 0, SCANS), ["A"], "AD")
    assert (low.bin_number, low.n, low.predicted, low.observed) == (1, 1, 0.1, 0.0)
    assert (high.bin_number, high.n, high.predicted, high.observed) == (4, 1, 0.9, 1.0)
    brier = np.mean([(p - (truth == "AD")) ** 2 for truth, p in SCANS])
    assert high.brier == pytest.approx(brier)
    many = [(("NC", "AD")[k % 2], k / 40) for k in range(40)]
    bins = calibration_bins(predicted("A", 0, many), ["A"], "AD")
    assert [found.n for found in bins] == [4] * 10


def test_every_pair_of_classes_has_a_cell() -> None:
    rows = predicted("A", 0, SCANS) + predicted("A", 1, SCANS[:2])
    cells = confusion_cells(rows, ["A"], ("NC", "AD"))
    counts = {(cell.true_class, cell.predicted_class): cell.n for cell in cells}
    assert counts == {("NC", "NC"): 1, ("NC", "AD"): 2, ("AD", "NC"): 0, ("AD", "AD"): 3}
