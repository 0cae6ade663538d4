"""Scores per split and comparisons, against counts by hand."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from bids_xai.group.context import read_rows
from bids_xai.group.performance import compare, write_performance


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
    written = write_performance(context, rows)
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
    table = read_rows(context.folder / "performance.tsv", "explain")
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
        for r in read_rows(context.folder / "performance_summary.tsv", "explain")
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


def outcomes(configuration: str, split: int, right: str) -> list[dict[str, Any]]:
    """One control a character, '+' where it is classified right."""
    return [
        row(configuration, split, f"{i:02d}", "NC", 0.1 if mark == "+" else 0.9)
        for i, mark in enumerate(right)
    ]


def test_discordant_pairs_are_counted() -> None:
    rows = outcomes("A", 0, "++++++++--+") + outcomes("B", 0, "+-------+-+")
    (found,) = compare(rows, ["A", "B"])
    assert (found["configuration_a"], found["configuration_b"], found["n"]) == ("A", "B", 11)
    assert (found["only_a_correct"], found["only_b_correct"]) == (7, 1)
    expected = binomtest(1, 8, 0.5).pvalue
    assert found["p_value"] == pytest.approx(expected)
    assert found["p_holm"] == pytest.approx(expected)


def test_holm_corrects_over_the_pairs_that_exist() -> None:
    rows = outcomes("A", 0, "++++++++++") + outcomes("B", 0, "+---------")
    rows += outcomes("C", 0, "++++++----")
    found = {(r["configuration_a"], r["configuration_b"]): r for r in compare(rows, list("ABCD"))}
    assert list(found) == [("A", "B"), ("A", "C"), ("B", "C")]
    p = {pair: binomtest(0, n, 0.5).pvalue for pair, n in zip(found, (9, 4, 5), strict=True)}
    for pair, value in p.items():
        assert found[pair]["p_value"] == pytest.approx(value)
    assert found["A", "B"]["p_holm"] == pytest.approx(3 * p["A", "B"])
    assert found["B", "C"]["p_holm"] == pytest.approx(2 * p["B", "C"])
    assert found["A", "C"]["p_holm"] == pytest.approx(max(p["A", "C"], 2 * p["B", "C"]))


def test_each_participant_counts_once_in_the_first_split_of_both() -> None:
    rows = [
        row("A", 0, "1", "AD", 0.9),
        row("B", 0, "1", "AD", 0.1),  # counts: only A
        row("A", 1, "1", "AD", 0.1),
        row("B", 1, "1", "AD", 0.9),  # does not
        row("A", 0, "2", "AD", 0.9),  # not tested by B in split 0
        row("A", 2, "2", "AD", 0.1),
        row("B", 2, "2", "AD", 0.9),  # counts: only B
        row("A", 0, "3", "NC", 0.9, "ses-1"),
        row("B", 0, "3", "NC", 0.1, "ses-1"),  # only B
        row("A", 0, "3", "NC", 0.1, "ses-2"),
        row("B", 0, "3", "NC", 0.9, "ses-2"),  # does not
    ]
    for order in (rows, rows[::-1]):
        (found,) = compare(order, ["A", "B"])
        assert (found["n"], found["only_a_correct"], found["only_b_correct"]) == (3, 1, 2)


def test_runs_of_one_session_are_told_apart() -> None:
    """The first run of either counts, not the second over the first."""
    rows = []
    for configuration, right in (("A", (True, False)), ("B", (False, True))):
        for run, good in enumerate(right, 1):
            name = f"relevance/configuration-{configuration}/split-0/sub-1_run-{run}"
            path = f"{name}_space-T1w_model-x{configuration}0_relmap.nii.gz"
            rows.append(
                row(configuration, 0, "1", "AD", 0.9 if good else 0.1) | {"relevance": path}
            )
    (found,) = compare(rows, ["A", "B"])
    assert (found["n"], found["only_a_correct"], found["only_b_correct"]) == (1, 1, 0)


def test_splits_are_counted_as_numbers() -> None:
    rows = outcomes("A", 10, "-") + outcomes("B", 10, "+")
    rows += outcomes("A", 2, "+") + outcomes("B", 2, "-")
    as_text = [r | {"split": str(r["split"]), "probability": str(r["probability"])} for r in rows]
    (found,) = compare(as_text, ["A", "B"])
    assert (found["only_a_correct"], found["only_b_correct"]) == (1, 0)


def test_nothing_in_common_is_no_comparison() -> None:
    assert compare([], ["A", "B"]) == []
    assert compare(outcomes("A", 0, "++"), ["A", "B"]) == []
    assert compare(outcomes("A", 0, "++") + outcomes("B", 1, "++"), ["A", "B"]) == []
    assert compare(outcomes("A", 0, "++"), ["A"]) == []


def test_agreement_is_no_evidence() -> None:
    (found,) = compare(outcomes("A", 0, "+-+") + outcomes("B", 0, "+-+"), ["A", "B"])
    assert (found["p_value"], found["p_holm"]) == (1, 1)


def test_a_baseline_is_compared_scan_by_scan() -> None:
    """It has no heatmap, and names its scan."""
    network = row("A", 0, "1", "AD", 0.9) | {"relevance": "x/sub-1_space-T1w_relmap.nii.gz"}
    baseline = row("svm", 0, "1", "AD", 0.2) | {"relevance": None, "scan": "sub-1"}
    (pair,) = compare([network, baseline], ["A", "svm"])
    assert (pair["n"], pair["only_a_correct"]) == (1, 1)
