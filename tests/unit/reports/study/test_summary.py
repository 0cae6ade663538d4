"""The first lines of the page of a study, and its limits."""

from __future__ import annotations

from pathlib import Path

from study_cases import BASELINES, StudyCase, paragraphs, texts
from study_tables import write_rows

from bids_xai.bids.files import write_text
from bids_xai.reports.blocks import TableBlock
from bids_xai.reports.study.cohort import cohort
from bids_xai.reports.study.spray.section import spectral
from bids_xai.reports.study.summary import summary
from bids_xai.reports.study_files import StudyFiles
from bids_xai.studies.tables import Splits
from bids_xai.tables.trust import VERDICTS

STUDY = "tiny"  # of conftest.py


def test_the_best_may_be_a_baseline(tmp_path: Path) -> None:
    case = StudyCase(tmp_path, baselines=BASELINES[:1], splits=Splits("kfold"))
    case.people([None, None])
    case.perform(["A", "svm"])
    words = " ".join(texts(summary(case.study)))
    assert "Of 1 configuration and 1 baseline, baseline svm has the highest" in words
    assert "over 3 folds" in words


def test_without_study_json_the_counts_are_those_of_the_cohort(study_dir: Path) -> None:
    (study_dir / "group" / STUDY / "study.json").unlink()
    study = StudyFiles.at(study_dir, STUDY)
    assert "24 scans of 12 participants: 12 of AD and 12 of NC." in paragraphs(summary(study))
    tables = [b for b in cohort(study).blocks if isinstance(b, TableBlock)]
    (table,) = (b for b in tables if b.caption.startswith("Scans that were used"))
    assert table.header == ("", "AD", "NC")


def test_the_summary_counts_what_speaks_against_the_heatmaps(study_dir: Path) -> None:
    study = StudyFiles.at(study_dir, STUDY)
    words = paragraphs(summary(study))
    anchor = spectral.anchor
    assert f'heatmaps: 1 <a href="#{anchor}">suspicious cluster</a>.' in words
    assert "The best was chosen by its test scans, so its score is optimistic" in words
    checks = [
        {"configuration": "A", "method": "lrp-zplus", "check": "aopc", "passed": passed}
        for passed in (False, False, True)
    ]
    write_rows(VERDICTS, study.folder / "quality", checks)
    words = paragraphs(summary(study))
    assert '2 <a href="#can-the-heatmaps-be-trusted">checks failed</a> and 1 <a' in words
    write_text(study.folder / "spray" / "verdicts.tsv", "finding\nx\n")  # told by its section
    assert "suspicious" not in paragraphs(summary(study))
