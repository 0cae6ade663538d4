"""Tables and summary of spectral relevance analysis: columns of the study, plain and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bids_xai.bids.files import write_json
from bids_xai.errors import BadDataError
from bids_xai.tables.spray import (
    COVARIATES,
    AnalysisSummary,
    ControlSummary,
    MeanAri,
    ScanCovariates,
    TileSheet,
    read_summaries,
)

SUMMARY = AnalysisSummary(
    n_clusters=2,
    n_maps=17,
    n_suspicious=1,
    notes=("a remark",),
    ari=MeanAri(seed=1.0, neighbours=0.9, bootstrap=None),
    same_number=0.92,
    recall=None,
    tile=TileSheet(height=54, width=168, tiles=17),
    inputs=ControlSummary(n_clusters=3, ari=0.1),
)


def test_columns_of_the_study_have_their_own_meaning(tmp_path: Path) -> None:
    rows = [ScanCovariates(scan="sub-1", covariates={"site": "A", "age": None})]
    path = tmp_path / "covariates.tsv"
    COVARIATES.write(path, rows, more=["site", "age"], notes={"site": "site", "age": "age in y"})
    assert path.read_text() == "scan\tsite\tage\nsub-1\tA\tn/a\n"
    described = json.loads(path.with_suffix(".json").read_text())
    assert described == {
        "scan": {"Description": "Scan"},
        "site": {"Description": "site"},
        "age": {"Description": "age in y"},
    }
    assert COVARIATES.read(path) == rows


def test_a_summary_is_read_back(tmp_path: Path) -> None:
    alone = AnalysisSummary(**{**vars(SUMMARY), "inputs": None})
    assert list(SUMMARY.as_plain())[-2:] == ["tile", "inputs"]
    assert "inputs" not in alone.as_plain()
    path = tmp_path / "summary.json"
    write_json(path, {"A_T1w": SUMMARY.as_plain(), "B_T1w": alone.as_plain()})
    assert read_summaries(path) == {"A_T1w": SUMMARY, "B_T1w": alone}


@pytest.mark.parametrize("content", [{"A": 1}, {"A": {}}, {"A": {**SUMMARY.as_plain(), "x": 1}}])
def test_a_damaged_summary_is_refused(tmp_path: Path, content: dict[str, object]) -> None:
    path = write_json(tmp_path / "summary.json", content)
    with pytest.raises(BadDataError, match="run --steps spray again"):
        read_summaries(path)
