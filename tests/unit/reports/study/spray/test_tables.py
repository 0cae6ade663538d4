"""Clusters and what they go with."""

from __future__ import annotations

from study_tables import write_rows

from bids_xai.reports.study.spray.analyses import analyses_of
from bids_xai.reports.study.spray.tables import confounds
from bids_xai.reports.study_files import StudyFiles
from bids_xai.tables.spray import CONFOUNDS


def test_the_tests_that_count_come_first(study: StudyFiles) -> None:
    analysis = analyses_of(study)[0]
    usual = {"test": "Fisher exact", "q": 0.9, "n": 30}
    lines = [
        {"cluster": 1, "covariate": f"c{i}", "effect_size": 0.1, "p": 0.5 - i / 100, **usual}
        for i in range(20)
    ]
    site = {"effect_size": 0.9, "effect_within": 0.8, "p": 0.6, "q": 0.001, "q_within": 0.002}
    lines.append({**usual, "cluster": 2, "covariate": "site", "counts": True, **site})
    write_rows(CONFOUNDS, analysis.folder, lines)
    (table,) = confounds(analysis)
    assert table.rows[0][:2] == ("Cluster 2", "site")
    assert table.rows[1][1] == "c19"
    assert len(table.rows) == 12
    assert "the first 12 of 21 tests" in table.caption
