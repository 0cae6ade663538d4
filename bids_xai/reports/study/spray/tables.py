"""Who is in the clusters, and what they go with."""

from __future__ import annotations

from collections.abc import Sequence

from bids_xai.core.spray.stability import SURVIVES_FROM
from bids_xai.figures.clusters import OUTCOMES
from bids_xai.reports.blocks import Block, TableBlock
from bids_xai.reports.study.rows import grouped
from bids_xai.reports.study.spray.analyses import FOLDER, Analysis
from bids_xai.reports.study_files import StudyFiles, natural
from bids_xai.tables.numbers import MISSING, number
from bids_xai.tables.spray import CLUSTERS, CONFOUNDS, ClusterMember, Confound

_MOST_TESTS = 12


def contingency(study: StudyFiles, analysis: Analysis) -> list[Block]:
    """Return the clusters by class and outcome, one line each."""
    members = analysis.rows(CLUSTERS)
    if not members:
        return [study.missing(CLUSTERS, f"{FOLDER}/{analysis.folder.name}")]
    classes = sorted({member.true_class for member in members}, key=natural)
    clusters = sorted(grouped(members, lambda member: member.cluster).items())
    rows = tuple((f"Cluster {name}", *_counts(part, classes)) for name, part in clusters)
    header = ("Cluster", "Heatmaps", *classes, *OUTCOMES, "Participants", "Splits", "Stability")
    n_splits = len({member.split for member in members})
    caption = (
        f"Clusters by class and outcome ({n_splits} splits in all). A cluster from "
        "few splits may reflect the model that produced its heatmaps rather than the scans. "
        "Stability: mean Jaccard similarity over bootstrap samples."
    )
    return [TableBlock(caption, header, rows)]


def _counts(members: Sequence[ClusterMember], classes: Sequence[str]) -> tuple[str, ...]:
    """Heatmaps, by class and outcome, participants, splits and stability of a cluster."""
    counts = [
        len(members),
        *(sum(member.true_class == name for member in members) for name in classes),
        *(sum(member.outcome == outcome for member in members) for outcome in OUTCOMES),
        len({member.participant_id for member in members}),
        len({member.split for member in members}),
    ]
    return (*map(str, counts), _stability(members[0].stability))


def _stability(value: float | None) -> str:
    if value is None:
        return MISSING
    return f"{value:.2f}" + ("" if value >= SURVIVES_FROM else " (does not survive)")


def confounds(analysis: Analysis) -> list[Block]:
    """Return the strongest results of the audit: those that count, then the surest."""
    tests = analysis.rows(CONFOUNDS)
    if not tests:
        return []
    lines = tuple(map(_line, sorted(tests, key=_rank)[:_MOST_TESTS]))
    shown = (
        f"the first {len(lines)} of {len(tests)} tests" if len(lines) < len(tests) else "all tests"
    )
    caption = (
        f"Clusters and covariates, {shown}. Effect: Cramér's V, or rank-biserial correlation. "
        "q: false-discovery rate; within: what remains beyond diagnosis and split "
        "(n/a: the cluster is one class or one split)."
    )
    header = (
        "Cluster",
        "Covariate",
        "Test",
        "Effect",
        "Effect within",
        "p",
        "q",
        "q within",
        "n",
        "Counts",
    )
    return [TableBlock(caption, header, lines)]


def _rank(test: Confound) -> tuple[bool, float]:
    return not test.counts, 1.0 if test.p is None else test.p


def _line(test: Confound) -> tuple[str, ...]:
    return (
        f"Cluster {test.cluster}",
        test.covariate,
        test.test,
        number(test.effect_size, 2),
        number(test.effect_within, 2),
        number(test.p, 2),
        number(test.q, 2),
        number(test.q_within, 2),
        str(test.n),
        "yes" if test.counts else "no",
    )
