"""Who was left out and why."""

from __future__ import annotations

from pathlib import Path

from study_cases import StudyCase, of_kind, texts

from bids_xai.reports.blocks import TableBlock
from bids_xai.reports.study.cohort import cohort
from bids_xai.reports.study.summary import summary


def test_the_flow_goes_by_the_order_of_the_rules(tmp_path: Path) -> None:
    case = StudyCase(tmp_path)
    case.people(
        [
            "quality: snr low",
            "matching: no control is left",
            None,
            "diagnosis is MCI",
            "does not meet: age > 60",
            "age missing, needed for: age > 60",
            "-",
            None,
            "undersampled: one too many of its age and sex",
            "diagnosis is MCI",
            None,
        ]
    )
    table = of_kind(cohort(case.study), TableBlock)[0]
    assert table.header == (
        "Step",
        "Scans",
        "Participants",
        "Scans remaining",
        "Participants remaining",
    )
    assert table.rows == (
        ("Considered", "11", "11", "11", "11"),
        ("Excluded: diagnosis is MCI", "2", "2", "9", "9"),
        ("Excluded: no input map among the derivatives", "0", "1", "9", "8"),
        ("Excluded: age missing, needed for: age > 60", "1", "1", "8", "7"),
        ("Excluded: does not meet: age > 60", "1", "1", "7", "6"),
        # sub-00 has another scan and remains
        ("Excluded: quality: snr low", "1", "1", "6", "6"),
        ("Excluded: undersampled: one too many of its age and sex", "1", "1", "5", "5"),
        ("Excluded: matching: no control is left", "1", "1", "4", "4"),
        ("Used", "4", "4", "4", "4"),
    )
    words = next(texts(summary(case.study)))
    assert words.endswith("Excluded: 7 scans and 1 participant without a map.")


def test_rare_reasons_share_a_line(tmp_path: Path) -> None:
    case = StudyCase(tmp_path)
    case.people([*(f"quality: metric{i} low" for i in range(10)), "quality: metric9 low", None])
    rows = of_kind(cohort(case.study), TableBlock)[0].rows
    assert rows[1] == ("Excluded: quality: metric9 low", "2", "2", "11", "10")
    assert rows[-2][:3] == ("Excluded: quality, 4 other reasons", "4", "4")
    assert len(rows) == 1 + 6 + 1 + 1
    case.people([*(f"quality: metric{i} low" for i in range(7)), None])
    rows = of_kind(cohort(case.study), TableBlock)[0].rows
    assert rows[-2][0] == "Excluded: quality: metric6 low"


def test_a_cohort_without_exclusions_has_no_flow(tmp_path: Path) -> None:
    case = StudyCase(tmp_path)
    case.people([None, None])
    section = cohort(case.study)
    assert "No scan was excluded." in texts(section)
    assert of_kind(section, TableBlock)[0].header[0] == ""
