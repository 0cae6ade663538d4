"""What the audit says of clusters: suspicious ones as a warning, then every analysis."""

from __future__ import annotations

from collections.abc import Sequence

from bids_xai.reports.blocks import Block, Items, Text
from bids_xai.reports.study.rows import grouped
from bids_xai.reports.study.spray.analyses import FOLDER, Analysis, analysis_title
from bids_xai.reports.study_files import StudyFiles
from bids_xai.tables.numbers import MISSING, plural
from bids_xai.tables.spray import CLUSTER_VERDICTS, ClusterVerdict

_READING = (
    "A cluster associated with the diagnosis alone is the desired outcome. A suspicious cluster is "
    "associated with something technical beyond the diagnosis, or its relevance lies outside the "
    "brain. This is a reason to look; it proves nothing. The absence of a finding does not prove "
    "that the model is free of shortcuts: the audit cannot find what the tables do not contain."
)


def is_suspicious(row: ClusterVerdict) -> bool:
    """Tell whether a cluster may show a shortcut."""
    return row.finding == "suspicious"


def verdicts(study: StudyFiles, analyses: Sequence[Analysis]) -> list[Block]:
    """Return the verdicts in words, the suspicious ones first."""
    rows = study.rows(CLUSTER_VERDICTS, FOLDER)
    if not rows:
        return [study.missing(CLUSTER_VERDICTS, FOLDER)]
    blocks: list[Block] = []
    alarms = tuple(map(_alarm, filter(is_suspicious, rows)))
    if alarms:
        blocks.append(Text("Suspicious clusters of heatmaps, which may show a shortcut:"))
        blocks.append(Items(alarms, "problem"))
    else:
        blocks.append(Text("No suspicious cluster of heatmaps was found."))
    by_analysis = grouped(rows, lambda row: (row.configuration, row.space))
    for analysis in analyses:
        clusters = by_analysis.get((analysis.configuration, analysis.space), [])
        quiet = tuple(row.verdict for row in clusters if not is_suspicious(row))
        n_suspicious = len(clusters) - len(quiet)
        n = plural(len(clusters), "cluster")
        blocks.append(Text(f"{analysis.title}: {n}, {n_suspicious} suspicious."))
        if quiet:
            blocks.append(Items(quiet))
    return [*blocks, Text(_READING, "note")]


def _alarm(row: ClusterVerdict) -> str:
    examples = (row.examples or MISSING).replace(",", ", ")
    return f"{analysis_title(row.configuration, row.space)}: {row.verdict} Look at: {examples}."
