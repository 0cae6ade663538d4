"""Scores per split and their summary, against counts by hand."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prediction_rows import as_prediction, write_performance_of
from tsv_rows import text_rows

from bids_xai.bids.files import write_json
from bids_xai.errors import BadDataError
from bids_xai.group.explain.performance import (
    TrainingLength,
    class_probabilities,
    split_performance,
    training_length,
)
from bids_xai.studies.tables import Target


def row(
    configuration: str,
    split: int,
    sub: str,
    truth: str,
    p: float,
    ses: str = "n/a",
    method: str = "lrp-zplus",
) -> dict[str, Any]:
    return {
        "configuration": configuration,
        "split": split,
        "participant_id": f"sub-{sub}",
        "session_id": ses,
        "method": method,
        "true_class": truth,
        "probability": p,
        "predicted_class": "AD" if p >= 0.5 else "NC",
    }


def test_scores_of_each_split_are_those_of_the_hand(derivatives: Any) -> None:
    rows = [
        row("A", 0, "1", "AD", 0.9),
        row("A", 0, "2", "AD", 0.2),
        row("A", 0, "3", "NC", 0.1),
        row("A", 0, "4", "NC", 0.3),
        row("A", 0, "5", "NC", 0.8),
        row("A", 1, "1", "AD", 0.5),
        row("A", 1, "3", "NC", 0.4),
        row("A", 1, "3", "NC", 0.9, method="another"),
        row("B", 0, "1", "AD", 0.6),
        row("B", 0, "3", "AD", 0.7),
    ]
    context = derivatives.context()
    written = write_performance_of(context, rows)
    assert [p.name for p in written] == [
        "performance.tsv",
        "performance.json",
        "performance_summary.tsv",
        "performance_summary.json",
        "comparisons.tsv",
        "comparisons.json",
        "roc.tsv",
        "roc.json",
        "calibration.tsv",
        "calibration.json",
        "confusion.tsv",
        "confusion.json",
    ]
    table = text_rows(context.folder / "performance.tsv")
    first, second, third = table
    assert [first[k] for k in ("configuration", "split", "n_test")] == ["A", "0", "5"]
    assert [first[k] for k in ("tp", "fp", "tn", "fn")] == ["1", "1", "2", "1"]
    assert float(first["accuracy"]) == pytest.approx(3 / 5)
    assert float(first["sensitivity"]) == pytest.approx(1 / 2)
    assert float(first["specificity"]) == pytest.approx(2 / 3, rel=1e-5)
    assert float(first["balanced_accuracy"]) == pytest.approx((1 / 2 + 2 / 3) / 2, rel=1e-5)
    # pairs AD > NC: 0.9 beats three, 0.2 beats one, of six
    assert float(first["auc"]) == pytest.approx(4 / 6, rel=1e-5)
    assert (second["n_test"], second["accuracy"], second["auc"]) == ("2", "1", "1")
    assert (third["configuration"], third["specificity"], third["auc"]) == ("B", "n/a", "n/a")
    summary = {
        (r["configuration"], r["metric"]): r
        for r in text_rows(context.folder / "performance_summary.tsv")
    }
    accuracy = summary["A", "accuracy"]
    assert float(accuracy["mean"]) == pytest.approx(0.8)
    assert float(accuracy["sd"]) == pytest.approx(statistics.stdev([0.6, 1.0]), rel=1e-5)
    low, high = np.percentile([0.6, 1.0], [2.5, 97.5])
    assert float(accuracy["percentile_2_5"]) == pytest.approx(low, rel=1e-5)
    assert float(accuracy["percentile_97_5"]) == pytest.approx(high, rel=1e-5)
    assert accuracy["n_splits"] == "2"
    assert summary["B", "accuracy"]["sd"] == "n/a"
    assert ("B", "auc") not in summary
    assert ("C", "accuracy") not in summary


def test_the_length_of_a_training_comes_from_its_card(tmp_path: Path) -> None:
    assert training_length(tmp_path) == TrainingLength(None, None)
    write_json(tmp_path / "model.json", {"metrics": {"epochs": 12, "seconds": 3.5}})
    assert training_length(tmp_path) == TrainingLength(12, 3.5)
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(BadDataError, match=r"model\.json"):
        training_length(tmp_path)


@pytest.mark.parametrize("classes", [("NC", "AD"), ("AD", "NC")])
def test_two_probabilities_are_in_the_order_of_the_classes(classes: tuple[str, ...]) -> None:
    target = Target("diagnosis", classes=classes, positive="AD")
    rows = [as_prediction(row("A", 0, "1", "AD", 0.9)), as_prediction(row("A", 0, "2", "NC", 0.3))]
    found = class_probabilities(rows, target)
    assert np.allclose(found[:, target.positive_index], [0.9, 0.3])
    assert np.allclose(found.sum(axis=1), 1)


def test_three_classes_count_the_positive_one_against_all_others() -> None:
    target = Target("diagnosis", classes=("NC", "MCI", "AD"), positive="MCI")
    truth = ["MCI", "MCI", "AD", "NC", "NC"]
    said = ["MCI", "NC", "MCI", "NC", "AD"]
    rows = [
        as_prediction(
            row("A", 4, str(i), t, 0.5)
            | {"predicted_class": s}
            | {f"probability_{c}": 0.8 if c == s else 0.1 for c in target.names}
        )
        for i, (t, s) in enumerate(zip(truth, said, strict=True))
    ]
    found = split_performance(rows, target, TrainingLength(7, 2.0))
    assert (found.tp, found.fp, found.fn, found.tn) == (1, 1, 1, 2)
    assert (found.split, found.n_test, found.epochs, found.seconds) == (4, 5, 7, 2.0)
    assert found.accuracy == pytest.approx(2 / 5)
    assert found.balanced_accuracy == pytest.approx((1 / 2 + 1 / 2 + 0) / 3)
