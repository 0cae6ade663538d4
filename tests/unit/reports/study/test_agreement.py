"""Agreement of heatmaps, against its table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from study_cases import headings_and_captions, of_kind
from study_tables import read_texts

from bids_xai.bids.files import write_text
from bids_xai.reports.blocks import TableBlock
from bids_xai.reports.study.agreement import agreement
from bids_xai.reports.study.regions import regions
from bids_xai.reports.study_files import StudyFiles

STUDY = "tiny"  # of conftest.py


def test_agreement_is_a_symmetric_matrix_of_the_table(
    study: StudyFiles, drawn: dict[str, list[Any]]
) -> None:
    section = agreement(study)
    panels = drawn["agreement_matrices"][0]
    assert list(panels) == ["by sum", "by density", "by gain"]
    names, values = panels["by density"]
    assert names == ["A", "B", "C"]
    overlaps = {
        (r["a"], r["b"]): float(r["value"])
        for r in read_texts(study.folder / "atlas" / "overlap.tsv")
        if (r["comparison"], r["metric"], r["group"]) == ("configurations", "top10_density", "AD")
    }
    assert values[0, 2] == values[2, 0] == overlaps["A", "C"]
    assert np.diag(values).tolist() == [1, 1, 1]
    pair = of_kind(section, TableBlock)[0]
    assert pair.rows[0][:2] == ("A, B", "NC")
    assert len(pair.rows) == 6
    splits = of_kind(section, TableBlock)[1]
    assert [row[0] for row in splits.rows] == ["A", "B", "C"]
    top = [
        r
        for r in read_texts(study.folder / "atlas" / "overlap.tsv")
        if (r["comparison"], r["configuration"], r["metric"], r["group"])
        == ("splits", "B", "top10_sum", "AD")
    ]
    assert splits.rows[1][3] == f"{100 * float(top[0]['value']):.1f} %"
    assert {row[2] for row in of_kind(section, TableBlock)[2].rows} == {"NC", "AD", "TP", "TN"}


def test_a_single_pair_is_a_line_and_no_picture(
    study: StudyFiles, drawn: dict[str, list[Any]]
) -> None:
    path = study.folder / "atlas" / "overlap.tsv"
    lines = path.read_text().splitlines()
    remaining = [
        line for line in lines[1:] if line.startswith("configurations") and "\tC\t" not in line
    ]
    write_text(path, "\n".join([lines[0], *remaining]) + "\n")
    pairs = of_kind(agreement(study), TableBlock)[0]
    assert "agreement_matrices" not in drawn
    (row,) = pairs.rows
    assert row[:3] == ("Method lrp-zplus", "A, B", "TissueNuclei")
    overlaps = {
        r["metric"]: float(r["value"])
        for r in read_texts(study.folder / "atlas" / "overlap.tsv")
        if r["group"] == "AD"
    }
    assert row[4] == f"{100 * overlaps['top10_density']:.1f} %"


@pytest.mark.parametrize("section", [regions, agreement])
def test_a_section_without_its_table_names_the_step(tmp_path: Path, section: Any) -> None:
    assert "--steps atlas" in headings_and_captions(section(StudyFiles.at(tmp_path, STUDY)))
