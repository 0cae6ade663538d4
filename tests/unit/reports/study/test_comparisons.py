"""Pairwise tests, as their table has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from study_cases import BASELINES, StudyCase, of_kind, texts

from bids_xai.reports.blocks import TableBlock
from bids_xai.reports.study import comparisons as comparisons_module
from bids_xai.reports.study.comparisons import comparisons
from bids_xai.reports.study_files import StudyFiles
from bids_xai.studies.schema import load_study
from bids_xai.tables.predictions import COMPARISONS, PERFORMANCE


@pytest.mark.usefixtures("quick")
def test_both_tests_are_in_the_comparisons(two: StudyFiles) -> None:
    mcnemar, wilcoxon = of_kind(comparisons(two), TableBlock)
    pairs = two.rows(COMPARISONS)
    assert len(pairs) == 10
    assert [row[0] for row in mcnemar.rows][:4] == [
        "A and B",
        "A and C",
        "A and svm",
        "A and nuclei",
    ]
    for row, line in zip(mcnemar.rows, pairs, strict=True):
        assert row[1:4] == (
            f"{line.n:.0f}",
            f"{line.only_a_correct:.0f}",
            f"{line.only_b_correct:.0f}",
        )
        assert [row[4], row[5]] == [
            "< 0.001" if p < 0.001 else f"{p:.3f}"
            for p in (line.p_value or 0.0, line.p_holm or 0.0)
        ]
    scores = {
        (row.configuration, row.split): row.balanced_accuracy or 0.0
        for row in two.rows(PERFORMANCE)
    }
    difference = np.mean([scores["A", k] - scores["B", k] for k in range(3)])
    assert wilcoxon.rows[0][:3] == ("A and B", "3", f"{100 * difference:+.1f}".replace("-", "−"))
    assert difference < 0
    assert "the 10 pairs" in wilcoxon.caption


@pytest.mark.usefixtures("quick")
def test_the_comparisons_say_what_they_do_not_show(two: StudyFiles) -> None:
    words = " ".join(texts(comparisons(two)))
    assert "Splits share participants" in words
    assert "With 3 splits, Wilcoxon's p cannot be below 0.25." in words
    assert "does not show that two of them are equally good" in words


@pytest.mark.parametrize("splits", [2, 5, 8])
def test_the_least_p_is_that_of_differences_of_one_sign(splits: int) -> None:
    from scipy.stats import wilcoxon

    least = wilcoxon(np.arange(1.0, splits + 1), method="exact").pvalue
    (_, words) = comparisons_module._wilcoxon_notes(splits)
    assert words == f"With {splits} splits, Wilcoxon's p cannot be below {least:.2g}."


def test_many_splits_have_no_remark_about_the_least_p() -> None:
    assert len(comparisons_module._wilcoxon_notes(9)) == 1


@pytest.mark.usefixtures("quick")
def test_one_configuration_compares_with_a_baseline(tmp_path: Path) -> None:
    single = load_study("quick").configurations[:1]
    case = StudyCase(tmp_path, configurations=single, baselines=BASELINES[:1])
    section = comparisons(case.perform(["A", "svm"]).study)
    assert of_kind(section, TableBlock)[0].rows[0][0] == "A and svm"
    alone = StudyCase(tmp_path / "alone", configurations=single).perform(["A"]).study
    (text,) = texts(comparisons(alone))
    assert text == "Only one configuration: nothing to compare."
