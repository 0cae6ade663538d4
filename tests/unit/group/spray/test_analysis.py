"""One analysis by a library user: arrays and records, without a run and without files."""

from __future__ import annotations

import numpy as np
from spray_cases import AFFINE, SHAPE, N, ball, people, prediction, relevance

from bids_xai.core.spray.audit import SUSPECT
from bids_xai.core.spray.clusters import spray
from bids_xai.core.spray.stability import stability
from bids_xai.group.spray.analysis import Heatmaps, analyse, cluster
from bids_xai.group.spray.covariate_sources import ScanColumn
from bids_xai.group.spray.shares import RelevanceShares, misplaced_shares
from bids_xai.group.spray.stack import Stack
from bids_xai.studies.tables import Spray

OPTIONS = Spray(bootstraps=5)


def heatmaps() -> Heatmaps:
    rows = tuple(
        prediction(str(person["participant_id"]), str(person["diagnosis"])) for person in people()
    )
    return Heatmaps("A", "T1w", rows, tuple(row.participant_id for row in rows), "AD")


def maps() -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.stack([relevance(person, rng) for person in people()])


def test_clusters_are_those_of_the_core() -> None:
    rows = maps().reshape(N, -1)
    clustering = cluster(rows, OPTIONS, seed=3)
    result = spray(rows, OPTIONS.neighbours, 3, max_clusters=OPTIONS.max_clusters)
    np.testing.assert_array_equal(clustering.result.labels, result.labels)
    np.testing.assert_array_equal(
        clustering.stability.clusters, stability(result, bootstraps=5, seed=3).clusters
    )


def test_a_planted_cheat_is_suspicious_and_goes_with_its_column() -> None:
    volumes = maps()
    pairs = np.array([misplaced_shares(volume, ball()) for volume in volumes])
    cheats = np.array([bool(person["cheat"]) for person in people()])
    stack = Stack(volumes.reshape(N, -1), SHAPE, AFFINE, np.ones(SHAPE, bool), 1.0)
    shares = RelevanceShares(pairs[:, 0], pairs[:, 1], ball().astype(np.float64))
    names = heatmaps().scans
    marker = {name: "yes" if cheat else "no" for name, cheat in zip(names, cheats, strict=True)}
    columns = [ScanColumn("scanner", SUSPECT, "scanner", marker)]
    clusters = analyse(stack, heatmaps(), columns, shares, OPTIONS, seed=0)
    worst = clusters.audit.verdicts[0]
    member = clusters.clustering.result.labels == worst.cluster
    np.testing.assert_array_equal(member, cheats)
    assert worst.finding == "suspicious"
    tested = {
        (row.covariate.name, row.counts)
        for row in clusters.audit.rows
        if row.cluster == worst.cluster
    }
    assert {("scanner", True), ("relevance_outside", True), ("relevance_spot", True)} <= tested
    np.testing.assert_allclose(
        clusters.means[worst.cluster], volumes[cheats].mean(axis=0), atol=1e-7
    )


def test_some_of_the_maps() -> None:
    part = heatmaps().part(np.array([3, 1]))
    assert part.scans == ("sub-03", "sub-01")
    assert part.participants == ["sub-03", "sub-01"]
    assert part.name == "A_T1w"
