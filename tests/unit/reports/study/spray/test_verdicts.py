"""What the audit says of clusters."""

from __future__ import annotations

from study_tables import write_rows

from bids_xai.reports.blocks import Items, Text
from bids_xai.reports.study.spray.analyses import analyses_of
from bids_xai.reports.study.spray.verdicts import is_suspicious, verdicts
from bids_xai.reports.study_files import StudyFiles
from bids_xai.tables.spray import CLUSTER_VERDICTS


def test_every_analysis_has_its_line_and_its_quiet_clusters(study: StudyFiles) -> None:
    blocks = verdicts(study, analyses_of(study))
    texts = [block.text for block in blocks if isinstance(block, Text)]
    assert "Configuration A, template space: 0 clusters, 0 suspicious." in texts
    alarms, quiet = (block for block in blocks if isinstance(block, Items))
    assert len(alarms.items) == 1
    assert quiet.items == ("Cluster <x> (diagnosis).",)


def test_without_suspicious_clusters_nothing_alarms(study: StudyFiles) -> None:
    rows = [
        {"configuration": "B", "space": "T1w", "cluster": k, "finding": finding, "verdict": finding}
        for k, finding in enumerate(("model", "none"))
    ]
    write_rows(CLUSTER_VERDICTS, study.folder / "spray", rows)
    assert not any(map(is_suspicious, study.rows(CLUSTER_VERDICTS, "spray")))
    blocks = verdicts(study, analyses_of(study))
    assert blocks[0] == Text("No suspicious cluster of heatmaps was found.")
    assert not [block for block in blocks if getattr(block, "look", "") == "problem"]


def test_an_alarm_without_examples_says_so(study: StudyFiles) -> None:
    row = {"configuration": "B", "space": "T1w", "finding": "suspicious", "verdict": "Odd."}
    write_rows(CLUSTER_VERDICTS, study.folder / "spray", [row])
    alarms = verdicts(study, analyses_of(study))[1]
    assert isinstance(alarms, Items)
    assert alarms.items == ("Configuration B, subject space: Odd. Look at: n/a.",)
