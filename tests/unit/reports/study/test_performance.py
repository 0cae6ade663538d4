"""Scores of a study, made from tables that the group steps wrote."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from study_cases import BASELINES, THREE, StudyCase, cells, of_kind, texts
from study_tables import read_texts

from bids_xai.reports.blocks import Block, Picture, Section, TableBlock, render
from bids_xai.reports.study.cohort import cohort
from bids_xai.reports.study.comparisons import comparisons
from bids_xai.reports.study.performance import performance
from bids_xai.reports.study.roc import roc
from bids_xai.reports.study_files import StudyFiles


@pytest.mark.usefixtures("quick")
def test_scores_stand_as_in_the_paper_with_baselines_below(two: StudyFiles) -> None:
    (table,) = (
        t for t in of_kind(performance(two), TableBlock) if "Id" in t.header and "AUC" in t.header
    )
    assert table.header == (
        "Id",
        "Skull-stripping",
        "Relevance-guided",
        "Accuracy",
        "Balanced accuracy",
        "Sensitivity",
        "Specificity",
        "AUC",
    )
    lines = cells(table)
    assert list(lines) == ["A", "B", "C", "svm", "nuclei"]
    assert [lines[c]["Skull-stripping"] for c in lines] == ["no", "yes", "no", "n/a", "n/a"]
    assert [lines[c]["Relevance-guided"] for c in lines] == ["no", "no", "yes", "n/a", "n/a"]
    scores = {
        (row["configuration"], row["metric"]): row
        for row in read_texts(two.folder / "performance_summary.tsv")
    }
    for name, (title, metric) in product(
        lines, {"Accuracy": "accuracy", "Specificity": "specificity", "AUC": "auc"}.items()
    ):
        line = scores[name, metric]
        mean, sd, low, high = (
            float(line[column]) for column in ("mean", "sd", "percentile_2_5", "percentile_97_5")
        )
        expected = (
            f"{mean:.2f} ± {sd:.2f} [{low:.2f}, {high:.2f}]"
            if metric == "auc"
            else f"{100 * mean:.1f} ± {100 * sd:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
        )
        assert lines[name][title] == expected
    assert "Test sets of 3 random splits" in table.caption
    assert "specificity = share of NC classified correctly" in table.caption


@pytest.mark.usefixtures("quick")
def test_percentiles_stand_on_a_line_of_their_own(two: StudyFiles) -> None:
    table = of_kind(performance(two), TableBlock)[0]
    page = render("t", "l", [Section("s", (table,))])
    assert page.count("<br>") == 5 * 5
    assert "&lt;br" not in page
    assert 'class="number">' in page


@pytest.mark.usefixtures("quick")
def test_baselines_are_described(two: StudyFiles) -> None:
    notes = list(texts(performance(two)))
    assert [line.split(";")[0] for line in notes] == [
        "Baseline svm: support vector machine (linear kernel) on the network's input, voxel by "
        "voxel, at most 40 principal components",
        "Baseline nuclei: support vector machine (rbf kernel) on the mean of the map in every "
        "region of the atlas",
    ]


def test_more_classes_have_a_macro_auc_and_other_meanings(
    three: StudyFiles, quick: dict[str, tuple[Any, ...]]
) -> None:
    section = performance(three)
    table = of_kind(section, TableBlock)[0]
    assert table.header[-1] == "Macro AUC"
    lines = cells(table)
    assert list(lines) == ["A", "B", "C", "svm"]
    assert set(lines["C"].values()) == {"no", "yes", "n/a"}  # configured, but not tested
    assert lines["A"]["Macro AUC"].startswith("0.")
    assert "share of the others not predicted as AD" in table.caption
    assert "mean over the 3 classes" in table.caption
    (panels, names) = quick["confusion_matrices"]
    assert list(panels) == ["Configuration A", "Configuration B", "Baseline svm"]
    assert names == list(THREE)


@pytest.mark.usefixtures("quick")
def test_uneven_splits_are_shown(tmp_path: Path) -> None:
    case = StudyCase(tmp_path)
    rows = [row for k in range(3) for row in case.scans("A", k)]
    rows += [row for k in range(2) for row in case.scans("B", k)]
    rows += case.scans("C", 0) + [row for row in case.scans("C", 1) if row["true_class"] == "NC"]
    case.write_performance(rows)
    table = of_kind(performance(case.study), TableBlock)[0]
    assert {name: line["Splits"] for name, line in cells(table).items()} == {
        "A": "3",
        "B": "2",
        "C": "2",
    }
    assert "A test set that lacks a class is excluded" in table.caption
    # one test set has no AD: its sensitivity is that of the other, with no spread
    assert cells(table)["C"]["Sensitivity"].count("±") == 0


@pytest.mark.usefixtures("quick")
def test_a_single_split_has_no_spread(tmp_path: Path) -> None:
    study = StudyCase(tmp_path).perform(["A", "B"], splits=1).study
    table = of_kind(performance(study), TableBlock)[0]
    assert table.caption.startswith("Test set of a single split. ")
    assert "±" not in "".join(map("".join, table.rows))
    section = comparisons(study)
    assert len(of_kind(section, TableBlock)) == 1
    assert any("needs two in which both were tested" in text for text in texts(section))


def test_everything_can_be_drawn(tmp_path: Path) -> None:
    case = StudyCase(tmp_path, THREE, baselines=BASELINES)
    case.people([None, None])
    case.matched()
    study = case.perform(["B", "svm"], splits=2).study
    blocks: list[Block] = [
        block for section in (cohort, performance, roc) for block in section(study).blocks
    ]
    pictures = [block for block in blocks if isinstance(block, Picture)]
    assert len(pictures) == 4
    assert all(p.source.startswith("data:image/svg+xml;base64,") and p.alt for p in pictures)
