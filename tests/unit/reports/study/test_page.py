"""The page of a study: every section, what failed, what is missing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from page_checks import Page, check_page

from bids_xai.bids.files import write_json, write_text
from bids_xai.errors import BadDataError
from bids_xai.reports.study import agreement as agreement_module
from bids_xai.reports.study import calibration, maps, region_spread, regions
from bids_xai.reports.study import page as page_module
from bids_xai.reports.study import roc as roc_module
from bids_xai.reports.study import training as training_module
from bids_xai.reports.study.cohort import cohort
from bids_xai.reports.study.page import draw_group_page, write_group_page
from bids_xai.reports.study.performance import performance
from bids_xai.reports.study.spray import pictures
from bids_xai.reports.study.summary import limits, summary
from bids_xai.reports.study_files import StudyFiles, section

STUDY = "tiny"  # of conftest.py
FEW = (summary, cohort, performance, limits)
SECTIONS = [
    "Summary",
    "Cohort",
    "Performance",
    "ROC curves",
    "Comparisons",
    "Training",
    "Relevance inside the mask",
    "Mean heatmaps",
    "Regions",
    "Agreement of heatmaps",
    "Relevance and biology",
    "Can the heatmaps be trusted?",
    "Spectral relevance analysis (SpRAy)",
    "Limits",
    "Methods",
    "Settings and versions",
]


@pytest.fixture
def short_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sections without many pictures, for tests about what a page says."""
    monkeypatch.setattr(page_module, "_SECTIONS", FEW)
    monkeypatch.setattr(page_module, "write_study_viewer", lambda _: None)


@pytest.fixture
def quick_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the drawing, for tests about what a page says."""
    drawings = {
        roc_module: ("roc_curves", "roc_bands"),
        calibration: ("calibration_curves",),
        training_module: ("training_curves", "share_curves"),
        maps: ("mosaic", "strips"),
        regions: ("region_bars",),
        region_spread: ("region_violins",),
        agreement_module: ("agreement_matrices",),
        pictures: ("cluster_maps", "eigenvalue_panels", "embedding_panels"),
    }
    for module, names in drawings.items():
        for name in names:
            monkeypatch.setattr(module, name, lambda *_args, **_options: b"<svg/>")


@pytest.mark.usefixtures("short_page")
def test_a_damaged_table_costs_its_section_alone(study_dir: Path) -> None:
    write_text(study_dir / "group" / STUDY / "performance_summary.tsv", "configuration\nA\n")
    with pytest.raises(BadDataError, match="lacks the columns metric"):
        write_group_page(study_dir, STUDY)
    page = (study_dir / f"group_{STUDY}.html").read_text()
    assert '<a href="#performance">Performance</a>: the table lacks the columns metric' in page
    assert "Not drawn: the table lacks the columns metric" in page
    assert "run --steps explain again" in page
    assert "24 scans come from 12 participants" in page  # of the last section
    assert page.index('<h2 id="problems">') < page.index('<h2 id="summary">')


def test_a_bug_or_a_broken_viewer_leaves_the_rest(
    study_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @section("Odd")
    def odd(_: StudyFiles) -> list[Any]:
        raise KeyError("lost")

    def broken(_: StudyFiles) -> None:
        raise ValueError("no volume")

    monkeypatch.setattr(page_module, "_SECTIONS", (odd, limits))
    monkeypatch.setattr(page_module, "write_study_viewer", broken)
    write_text(study_dir / "group" / STUDY / "study.json", "{")
    page, errors = draw_group_page(study_dir, STUDY)
    text = page.read_text()
    assert [type(error) for error in errors] == [BadDataError, ValueError, KeyError]
    assert "cannot read the JSON file" in text
    assert "Viewer of the mean heatmaps: ValueError: no volume" in text
    assert "This looks like a bug" in text
    assert '<h2 id="limits">' in text


def test_damaged_records_of_problems_do_not_cost_the_page(
    study_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_module, "_SECTIONS", (limits,))
    monkeypatch.setattr(page_module, "write_study_viewer", lambda _: None)
    file = study_dir / "group" / STUDY / "problems.json"
    write_json(file, {"train": "lost. Fix: find it."})
    assert "The step train failed, and it has not succeeded since: lost. Fix: find it." in (
        write_group_page(study_dir, STUDY).read_text()
    )
    write_text(file, "[")
    page, errors = draw_group_page(study_dir, STUDY)
    assert len(errors) == 1
    assert "problems.json" in page.read_text()


def test_the_group_page_has_every_section_filled(finished_study: Path) -> None:
    page = check_page(finished_study / f"group_{STUDY}.html")
    assert page.headings == SECTIONS
    # test_reports_performance.py has a study with the tables of calibration and ROC curves,
    # test_reports_trust.py one with those of the step quality
    missing = ["calibration.tsv", "quality/summary.tsv"]
    assert re.findall(r"Not available: group/tiny/(\S+)", page.text) == missing
    assert all((image["src"] or "").startswith("data:image/") for image in page.all("img"))
    assert len(page.all("img")) == 1 + 1 + 1 + 6 + 1 + 3 + 1 + 3 + 6


def test_the_group_page_says_the_numbers(finished_study: Path) -> None:
    text = Page(finished_study / f"group_{STUDY}.html").text.replace("\N{NO-BREAK SPACE}", " ")
    assert "It uses 24 scans of 12 participants: 12 of AD and 12 of NC. Excluded: 1 scan." in text
    assert "Of 3 configurations, C has the highest mean balanced accuracy: 74.2 %" in text
    assert "64.2 ± 6.5 % [53.5, 76.9]" in text
    assert "0.64 ± 0.07 [0.54, 0.77]" in text
    assert "from the 50 to the 99.5 percentile of the positive values of the mean map of AD" in text
    assert "only 16 maps: 11 <neighbours>" in text
    assert "There are only 2 splits" in text
    assert "24 scans come from 12 participants" in text
    assert "nobody is in two sets" in text


def test_equal_files_give_equal_pages(finished_study: Path, study_dir: Path) -> None:
    first = (finished_study / f"group_{STUDY}.html").read_bytes()
    assert write_group_page(study_dir, STUDY).read_bytes() == first


def test_a_study_of_which_nothing_exists_yet_has_a_page(tmp_path: Path) -> None:
    page = check_page(write_group_page(tmp_path, STUDY))
    assert page.headings == SECTIONS
    for step in ("cohort", "train", "explain", "atlas", "spray"):
        assert f"--steps {step}" in page.text


@pytest.mark.parametrize(
    "lost",
    [
        "study.json",
        "cohort.tsv",
        "splits.tsv",
        "predictions.tsv",
        "performance.tsv",
        "performance_summary.tsv",
        "comparisons.tsv",
        "atlas/gain.tsv",
        "atlas/regions.tsv",
        "atlas/overlap.tsv",
        "atlas/fingerprints.tsv",
        "atlas/biology.tsv",
        "spray/A_T1w/clusters.tsv",
        "spray/B_T1w/eigenvalues.tsv",
        "spray/C_T1w/embedding.tsv",
        "spray/A_template/cluster-0_mean.nii.gz",
    ],
)
@pytest.mark.usefixtures("quick_figures")
def test_any_file_may_be_missing(study_dir: Path, lost: str) -> None:
    (study_dir / "group" / STUDY / lost).unlink()
    assert check_page(write_group_page(study_dir, STUDY)).headings == SECTIONS


@pytest.mark.usefixtures("quick_figures")
def test_a_table_without_its_columns_is_named(study_dir: Path) -> None:
    write_text(study_dir / "group" / STUDY / "comparisons.tsv", "configuration_a\nA\n")
    with pytest.raises(BadDataError, match=r"configuration_b.*comparisons\.tsv"):
        write_group_page(study_dir, STUDY)


@pytest.mark.usefixtures("quick_figures")
def test_a_single_split_and_a_shared_participant_are_told(study_dir: Path) -> None:
    group = study_dir / "group" / STUDY
    for name in ("performance.tsv", "performance_summary.tsv"):
        text = (group / name).read_text().replace("\t1\t", "\t0\t")
        write_text(group / name, re.sub(r"0\.065(\t\S+){2}\t2", "n/a\tn/a\tn/a\t1", text))
    write_text(group / "splits.tsv", "participant_id\tsplit\tset\na\t0\ttrain\na\t0\ttest\n")
    text = Page(write_group_page(study_dir, STUDY)).text
    assert "There is a single split" in text
    assert "on a single split" in text
    assert "WRONG: 1 participant in two sets" in text
