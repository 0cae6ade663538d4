"""Rows of the tables of an analysis, against the arrays they are made of."""

from __future__ import annotations

import dataclasses

import numpy as np
from spray_cases import prediction

from bids_xai.core.spray.audit import SUSPECT, Covariate, audit
from bids_xai.core.spray.stability import SURVIVES_FROM
from bids_xai.group.spray.analysis import AuditedClusters, Clustering, Heatmaps, cluster
from bids_xai.group.spray.covariate_sources import ScanColumn
from bids_xai.group.spray.rows import (
    confound_rows,
    contingency_rows,
    covariate_rows,
    eigenvalue_rows,
    embedding_rows,
    member_rows,
    stability_rows,
    verdict_rows,
)
from bids_xai.group.spray.shares import RelevanceShares
from bids_xai.studies.tables import Spray

N = 40
TRUTH = np.arange(N) // 20


def heatmaps() -> Heatmaps:
    rows = tuple(prediction(f"sub-{i:02d}", ("NC", "AD")[i % 2], split=i % 12) for i in range(N))
    return Heatmaps("A", "T1w", rows, tuple(f"scan-{i:02d}" for i in range(N)), "AD")


def clustering() -> Clustering:
    maps = np.random.default_rng(0).normal(size=(N, 30))
    maps[TRUTH == 1, :10] += 5
    return cluster(maps, Spray(bootstraps=4))


def test_the_last_eigenvalue_has_no_gap() -> None:
    clusters = clustering()
    rows = eigenvalue_rows(clusters)
    assert [row.index for row in rows] == list(range(1, 11))
    values = np.array([row.eigenvalue for row in rows], float)
    np.testing.assert_array_equal([row.gap for row in rows[:-1]], np.diff(values))
    assert rows[-1].gap is None


def test_members_have_their_cluster_class_and_shares() -> None:
    clusters = clustering()
    shares = RelevanceShares(np.linspace(0, 1, N), np.linspace(1, 0, N), None)
    rows = member_rows(heatmaps(), clusters, shares)
    assert [row.cluster - 1 for row in rows] == clusters.result.labels.tolist()
    assert [row.y_true for row in rows] == [0, 1] * 20
    np.testing.assert_array_equal([row.relevance_outside for row in rows], shares.outside)
    np.testing.assert_array_equal([row.relevance_edge for row in rows], shares.edge)
    for row in rows:
        assert row.stability == clusters.stability.clusters[row.cluster - 1]
    alone = member_rows(heatmaps(), clusters)
    assert {row.relevance_outside for row in alone} == {None}
    assert alone[3] == dataclasses.replace(rows[3], relevance_outside=None, relevance_edge=None)


def test_points_of_the_plane() -> None:
    clusters = clustering()
    rows = embedding_rows(heatmaps(), clusters)
    np.testing.assert_array_equal([(row.x, row.y) for row in rows], clusters.result.embedding)
    assert [row.participant_id for row in rows] == heatmaps().participants


def test_contingency_counts_every_value_in_every_cluster() -> None:
    members = member_rows(heatmaps(), clustering())
    rows = contingency_rows(members)
    for row in rows:
        slow = [
            member
            for member in members
            if member.cluster == row.cluster
            and row.value in (member.true_class, member.outcome, str(member.split))
        ]
        assert row.n == len(slow)
    for variable in ("class", "outcome", "split"):
        assert sum(row.n for row in rows if row.variable == variable) == N
    first = [row.value for row in rows if row.variable == "outcome" and row.cluster == 1]
    assert first == ["TN", "FN", "TP", "FP"]  # those that do not occur, too
    splits = [row.value for row in rows if row.variable == "split" and row.cluster == 1]
    assert splits == sorted(map(str, range(12)))


def test_runs_confounds_and_verdicts() -> None:
    clusters = clustering()
    labels = clusters.result.labels
    site = Covariate("site", np.array(list("AB"))[labels], SUSPECT, "site")
    findings = audit(
        labels, [site], classes=["AD"] * N, participants=heatmaps().participants, permutations=99
    )
    runs = stability_rows(clusters)
    assert [(run.varied, run.ari) for run in runs] == [
        (run.what, run.ari) for run in clusters.stability.runs
    ]
    confounds = confound_rows(heatmaps(), findings)
    assert [row.cluster for row in confounds] == [1, 2]
    assert [row.q_within for row in confounds] == [row.q_within for row in findings.rows]
    verdicts = verdict_rows(heatmaps(), AuditedClusters(clusters, findings, {}))
    assert [row.rank for row in verdicts] == [1, 2]
    for row in verdicts:
        assert row.n == (labels == row.cluster - 1).sum()
        assert row.survives == (row.stability is not None and row.stability >= SURVIVES_FROM)
        assert row.examples is not None
        for name in row.examples.split(","):
            assert labels[int(name.removeprefix("scan-"))] == row.cluster - 1


def test_an_empty_text_is_missing() -> None:
    columns = [ScanColumn("site", SUSPECT, "site", {"a": "1", "b": ""})]
    rows = covariate_rows(columns, ["a", "b", "c"])
    assert [row.covariates for row in rows] == [{"site": "1"}, {"site": None}, {"site": None}]
