"""The rows of the tables of one analysis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bids_xai.core.spray.audit import Audit
from bids_xai.group.spray.analysis import AuditedClusters, Clustering, Heatmaps
from bids_xai.group.spray.covariate_sources import ScanColumn
from bids_xai.group.spray.shares import RelevanceShares
from bids_xai.tables.spray import (
    ClusterMember,
    ClusterVerdict,
    Confound,
    ContingencyCell,
    Eigenvalue,
    EmbeddedMap,
    ScanCovariates,
    StabilityRow,
)

_OUTCOMES = ("TN", "FN", "TP", "FP")


def eigenvalue_rows(clustering: Clustering) -> list[Eigenvalue]:
    """Return the smallest eigenvalues and the gap after each, none after the last."""
    gaps = [*clustering.result.gaps, None]
    return [
        Eigenvalue(index=i + 1, eigenvalue=value, gap=gaps[i])
        for i, value in enumerate(clustering.result.eigenvalues)
    ]


def member_rows(
    heatmaps: Heatmaps, clustering: Clustering, shares: RelevanceShares | None = None
) -> list[ClusterMember]:
    """Return the cluster of every map; shares of relevance where the maps are heatmaps."""
    return [
        ClusterMember(
            participant_id=prediction.participant_id,
            session_id=prediction.session_id,
            configuration=heatmaps.configuration,
            space=heatmaps.space,
            cluster=int(label) + 1,
            stability=float(clustering.stability.clusters[label]),
            outcome=prediction.outcome,
            y_true=int(prediction.true_class == heatmaps.positive),
            probability=prediction.probability,
            true_class=prediction.true_class,
            split=prediction.split,
            relevance_outside=None if shares is None else float(shares.outside[i]),
            relevance_edge=None if shares is None else float(shares.edge[i]),
            scan=heatmaps.scans[i],
        )
        for i, (prediction, label) in enumerate(
            zip(heatmaps.predictions, clustering.result.labels, strict=True)
        )
    ]


def embedding_rows(heatmaps: Heatmaps, clustering: Clustering) -> list[EmbeddedMap]:
    """Return where every map lies in the plane."""
    result = clustering.result
    return [
        EmbeddedMap(
            participant_id=prediction.participant_id,
            session_id=prediction.session_id,
            split=prediction.split,
            cluster=int(label) + 1,
            true_class=prediction.true_class,
            outcome=prediction.outcome,
            x=x,
            y=y,
        )
        for prediction, label, (x, y) in zip(
            heatmaps.predictions, result.labels, result.embedding, strict=True
        )
    ]


def contingency_rows(members: Sequence[ClusterMember]) -> list[ContingencyCell]:
    """Return counts of maps by cluster and class, outcome and split; zeros are listed."""
    return [
        *_counts("class", members, [row.true_class for row in members]),
        *_counts("outcome", members, [row.outcome for row in members], _OUTCOMES),
        *_counts("split", members, [str(row.split) for row in members]),
    ]


def _counts(
    variable: str,
    members: Sequence[ClusterMember],
    values: Sequence[str],
    listed: Sequence[str] = (),
) -> list[ContingencyCell]:
    """Counts of one variable; ``listed`` : its values, those that occur by default."""
    counts = Counter((row.cluster, value) for row, value in zip(members, values, strict=True))
    return [
        ContingencyCell(cluster=cluster, variable=variable, value=value, n=counts[cluster, value])
        for cluster in sorted({row.cluster for row in members})
        for value in listed or sorted(set(values))
    ]


def stability_rows(clustering: Clustering) -> list[StabilityRow]:
    """Return one row a change of seed, neighbours or sample."""
    return [
        StabilityRow(varied=run.what, value=run.value, n_clusters=run.n_clusters, ari=run.ari)
        for run in clustering.stability.runs
    ]


def confound_rows(heatmaps: Heatmaps, findings: Audit) -> list[Confound]:
    """Return one row a test."""
    return [
        Confound(
            configuration=heatmaps.configuration,
            space=heatmaps.space,
            cluster=row.cluster + 1,
            covariate=row.covariate.name,
            test=row.test.test,
            statistic=row.test.statistic,
            effect_size=row.test.effect_size,
            p=row.test.p,
            q=row.q,
            n=row.n,
            p_within=row.test.p_within,
            q_within=row.q_within,
            effect_within=row.test.effect_within,
            kind=row.covariate.kind,
            counts=row.counts,
        )
        for row in findings.rows
    ]


def verdict_rows(heatmaps: Heatmaps, clusters: AuditedClusters) -> list[ClusterVerdict]:
    """Return one row a cluster, the most suspicious first."""
    labels, stability = clusters.clustering.result.labels, clusters.clustering.stability
    return [
        ClusterVerdict(
            configuration=heatmaps.configuration,
            space=heatmaps.space,
            rank=rank,
            cluster=verdict.cluster + 1,
            finding=verdict.finding,
            strength=verdict.strength,
            n=int((labels == verdict.cluster).sum()),
            stability=float(stability.clusters[verdict.cluster]),
            survives=bool(stability.survives[verdict.cluster]),
            verdict=verdict.text,
            examples=",".join(dict.fromkeys(heatmaps.scans[i] for i in verdict.examples)),
        )
        for rank, verdict in enumerate(clusters.audit.verdicts, start=1)
    ]


def covariate_rows(columns: Sequence[ScanColumn], scans: Sequence[str]) -> list[ScanCovariates]:
    """Return what is known of every scan; scans : names."""
    return [
        ScanCovariates(
            scan=scan,
            covariates={column.name: column.values.get(scan) or None for column in columns},
        )
        for scan in scans
    ]
