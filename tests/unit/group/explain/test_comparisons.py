"""Classifiers against each other, against counts by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from prediction_rows import as_prediction
from scipy.stats import binomtest, wilcoxon

from bids_xai.group.explain.comparisons import compare
from bids_xai.tables.predictions import BaselinePrediction, Comparison, Performance


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


def outcomes(configuration: str, split: int, right: str) -> list[dict[str, Any]]:
    """One control a character, '+' where it is classified right."""
    return [
        row(configuration, split, f"{i:02d}", "NC", 0.1 if mark == "+" else 0.9)
        for i, mark in enumerate(right)
    ]


def compared(rows: list[dict[str, Any]], names: list[str]) -> list[Comparison]:
    """Comparisons of rows in short."""
    return compare([as_prediction(row) for row in rows], names)


def test_discordant_pairs_are_counted() -> None:
    rows = outcomes("A", 0, "++++++++--+") + outcomes("B", 0, "+-------+-+")
    (found,) = compared(rows, ["A", "B"])
    assert (found.configuration_a, found.configuration_b, found.n) == ("A", "B", 11)
    assert (found.only_a_correct, found.only_b_correct) == (7, 1)
    expected = binomtest(1, 8, 0.5).pvalue
    assert found.p_value == pytest.approx(expected)
    assert found.p_holm == pytest.approx(expected)


def test_holm_corrects_over_the_pairs_that_exist() -> None:
    rows = outcomes("A", 0, "++++++++++") + outcomes("B", 0, "+---------")
    rows += outcomes("C", 0, "++++++----")
    found = {(r.configuration_a, r.configuration_b): r for r in compared(rows, list("ABCD"))}
    assert list(found) == [("A", "B"), ("A", "C"), ("B", "C")]
    p = {pair: binomtest(0, n, 0.5).pvalue for pair, n in zip(found, (9, 4, 5), strict=True)}
    for pair, value in p.items():
        assert found[pair].p_value == pytest.approx(value)
    assert found["A", "B"].p_holm == pytest.approx(3 * p["A", "B"])
    assert found["B", "C"].p_holm == pytest.approx(2 * p["B", "C"])
    assert found["A", "C"].p_holm == pytest.approx(max(p["A", "C"], 2 * p["B", "C"]))


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
        (found,) = compared(order, ["A", "B"])
        assert (found.n, found.only_a_correct, found.only_b_correct) == (3, 1, 2)


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
    (found,) = compared(rows, ["A", "B"])
    assert (found.n, found.only_a_correct, found.only_b_correct) == (1, 1, 0)


def test_splits_are_counted_as_numbers() -> None:
    rows = outcomes("A", 10, "-") + outcomes("B", 10, "+")
    rows += outcomes("A", 2, "+") + outcomes("B", 2, "-")
    (found,) = compared(rows, ["A", "B"])
    assert (found.only_a_correct, found.only_b_correct) == (1, 0)


def test_nothing_in_common_is_no_comparison() -> None:
    assert compared([], ["A", "B"]) == []
    assert compared(outcomes("A", 0, "++"), ["A", "B"]) == []
    assert compared(outcomes("A", 0, "++") + outcomes("B", 1, "++"), ["A", "B"]) == []
    assert compared(outcomes("A", 0, "++"), ["A"]) == []


def test_agreement_is_no_evidence() -> None:
    (found,) = compared(outcomes("A", 0, "+-+") + outcomes("B", 0, "+-+"), ["A", "B"])
    assert (found.p_value, found.p_holm) == (1, 1)


def test_a_baseline_is_compared_scan_by_scan() -> None:
    """It has no heatmap, and names its scan."""
    path = "x/sub-1_space-T1w_relmap.nii.gz"
    network = as_prediction(row("A", 0, "1", "AD", 0.9) | {"relevance": path})
    baseline = BaselinePrediction(
        participant_id="sub-1",
        session_id=None,
        scan="sub-1",
        configuration="svm",
        split=0,
        method=None,
        set_name="test",
        true_class="AD",
        predicted_class="NC",
        probability=0.2,
        outcome="FN",
        parameters="C=1",
    )
    (pair,) = compare([network, baseline], ["A", "svm"])
    assert (pair.n, pair.only_a_correct) == (1, 1)


def accuracies(name: str, values: list[float | None]) -> list[Performance]:
    """Performance with the balanced accuracies of some splits."""
    nothing = dict.fromkeys(Performance.__dataclass_fields__)
    return [
        Performance(
            **nothing | {"configuration": name, "split": k, "n_test": 1, "balanced_accuracy": value}
        )  # type: ignore[arg-type]
        for k, value in enumerate(values)
    ]


def test_splits_are_compared_by_wilcoxon_where_both_have_an_accuracy() -> None:
    rows = [as_prediction(r) for r in outcomes("A", 0, "++") + outcomes("B", 0, "+-")]
    of_a, of_b = [0.9, 0.8, 0.75, None, 0.7], [0.6, 0.65, 0.7, 0.5, 0.72]
    (pair,) = compare(rows, ["A", "B"], accuracies("A", of_a) + accuracies("B", of_b))
    differences = [0.3, 0.15, 0.05, -0.02]
    assert pair.n_splits == 4
    assert pair.mean_difference == pytest.approx(np.mean(differences))
    assert pair.p_wilcoxon == pytest.approx(wilcoxon(differences, method="exact").pvalue)
    assert pair.p_wilcoxon_holm == pair.p_wilcoxon
    (alone,) = compare(rows, ["A", "B"], accuracies("A", [0.9]) + accuracies("B", [0.6]))
    assert (alone.n_splits, alone.p_wilcoxon, alone.p_wilcoxon_holm) == (1, None, None)
    (without,) = compare(rows, ["A", "B"])
    assert (without.n_splits, without.mean_difference) == (0, None)
