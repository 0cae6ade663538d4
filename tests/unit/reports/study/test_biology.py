"""Relevance and biology, against its table."""

from __future__ import annotations

import pytest
from study_cases import headings_and_captions, of_kind
from study_tables import read_texts

from bids_xai.bids.files import write_text
from bids_xai.reports.blocks import TableBlock
from bids_xai.reports.study.biology import biology
from bids_xai.reports.study_files import StudyFiles

STUDY = "tiny"  # of conftest.py


def test_biology_shows_the_strongest_correlations(study: StudyFiles) -> None:
    section = biology(study)
    volume = of_kind(section, TableBlock)[0]
    volumes = [
        r for r in read_texts(study.folder / "atlas" / "biology.tsv") if r["measure"] == "volume"
    ]
    strongest = max(volumes, key=lambda r: abs(float(r["r"])))
    assert volume.rows[0][0] == strongest["name"]
    assert float(volume.rows[0][4]) == pytest.approx(float(strongest["r"]), rel=1e-2)
    assert len(volume.rows) == 10
    assert "at most 720 permutations" in headings_and_captions(section)
    assert [row[3] for row in of_kind(section, TableBlock)[2].rows] == ["12.3 %"] * 3


def test_biology_without_anything_to_compare_says_so(study: StudyFiles) -> None:
    path = study.folder / "atlas" / "biology.tsv"
    write_text(path, path.read_text().splitlines()[0] + "\n")
    assert "Nothing to compare with" in headings_and_captions(biology(study))
