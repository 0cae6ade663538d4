"""Tables of spectral relevance analysis: their columns, and the rows of one analysis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids_xai.core.spray.audit import Audit
from bids_xai.core.spray.clusters import SprayResult
from bids_xai.core.spray.stability import Stability
from bids_xai.group.context import write_table
from bids_xai.group.spray.covariates import Column
from bids_xai.group.spray.stack import Places

_WHERE = {
    "configuration": "Configuration of the study",
    "space": "T1w (the network's grid) or template",
}
_CLUSTER = {"cluster": "Cluster, from 1"}

EIGENVALUE_COLUMNS = {
    "index": "Number of the eigenvalue of the normalised Laplacian, from 1, smallest first",
    "eigenvalue": "Eigenvalue",
    "gap": "Next eigenvalue minus this one; the largest gap gives the number of clusters",
}
CLUSTER_COLUMNS = {
    "participant_id": "Participant",
    "session_id": "Session, n/a where the dataset has none",
    **_WHERE,
    **_CLUSTER,
    "stability": "Mean Jaccard similarity of the cluster over bootstrap samples; below 0.75 it "
    "does not survive",
    "outcome": "TP, FP, TN or FN",
    "y_true": "1 for the positive class, 0 for others",
    "probability": "Probability of the positive class",
    "true_class": "Class of the participant",
    "split": "Number of the split, from 0",
    "relevance_outside": "Share of the absolute relevance outside the brain mask, network's grid",
    "relevance_edge": "Share of it within one voxel of the border of the mask",
    "scan": "Scan, as in covariates.tsv",
}
EMBEDDING_COLUMNS = {
    "participant_id": "Participant",
    "session_id": "Session, n/a where the dataset has none",
    "split": "Number of the split, from 0",
    **_CLUSTER,
    "true_class": "Class of the participant",
    "outcome": "TP, FP, TN or FN",
    "x": "First coordinate of the embedding, arbitrary units",
    "y": "Second coordinate of the embedding, arbitrary units",
}
CONTINGENCY_COLUMNS = {
    **_CLUSTER,
    "variable": "class, outcome or split",
    "value": "Its value",
    "n": "Number of heatmaps of the cluster with it",
}
STABILITY_COLUMNS = {
    "what": "What was changed: seed of k-means, neighbours of the graph, or the sample (bootstrap)",
    "value": "Which seed, how many neighbours, which sample (from 0)",
    "n_clusters": "Number of clusters that the eigengap chooses then",
    "ari": "Adjusted Rand index with the clusters of the analysis, for as many clusters",
}
CONFOUND_COLUMNS = {
    **_WHERE,
    **_CLUSTER,
    "covariate": "Column that the cluster was tested against",
    "test": "Test: Fisher's exact, chi-squared or Mann-Whitney by permutations",
    "statistic": "Odds ratio (halves added), chi-squared, or U of Mann-Whitney",
    "effect_size": "Cramer's V, or rank-biserial correlation (positive: higher in the cluster)",
    "p": "p value, two-sided",
    "q": "False-discovery rate (Benjamini-Hochberg) among the tests of the analysis; class, "
    "outcome and probability apart",
    "n": "Units tested: participants; one whose text differs between scans once for each value",
    "p_within": "p value within classes and splits: beyond diagnosis and model; n/a where nothing "
    "can vary",
    "q_within": "Its false-discovery rate",
    "effect_within": "Effect size within classes and splits: what counts, but for the diagnosis",
    "kind": "expected (diagnosis), suspect, personal or model (split)",
    "counts": "Whether the cluster goes with the covariate: sure, strong, beyond the diagnosis",
}
VERDICT_COLUMNS = {
    **_WHERE,
    "rank": "Order within the analysis, the most suspicious first",
    **_CLUSTER,
    "finding": "suspicious, model, personal, diagnosis or none",
    "strength": "Largest absolute effect size behind the finding",
    "n": "Heatmaps of the cluster",
    "stability": "As in clusters.tsv",
    "survives": "Whether the cluster survives resampling",
    "verdict": "The finding in words",
    "examples": "Scans to look at, parted by commas",
}


@dataclass(frozen=True)
class Analysis:
    """Heatmaps of one configuration in one space, and what was found among them.

    rows : (n) lines of ``predictions.tsv``; names : (n) scans; positive : name of that class
    """

    configuration: str
    space: str
    rows: Sequence[Mapping[str, str]]
    names: Sequence[str]
    positive: str
    result: SprayResult
    stability: Stability

    @property
    def participants(self) -> list[str]:
        """Whose each heatmap is (n)."""
        return [row["participant_id"] for row in self.rows]

    def write(self, folder: Path, places: Places | None = None) -> list[Path]:
        """Write eigenvalues, clusters, embedding, contingency and stability."""
        about = self._scans(places)
        return [
            *write_table(folder / "eigenvalues.tsv", self._eigenvalues(), EIGENVALUE_COLUMNS),
            *write_table(folder / "clusters.tsv", about, CLUSTER_COLUMNS),
            *write_table(folder / "embedding.tsv", about, EMBEDDING_COLUMNS),
            *write_table(folder / "contingency.tsv", contingency(about), CONTINGENCY_COLUMNS),
            *write_table(
                folder / "stability.tsv",
                [vars(run) for run in self.stability.runs],
                STABILITY_COLUMNS,
            ),
        ]

    def _eigenvalues(self) -> list[dict[str, Any]]:
        gaps = [*self.result.gaps, None]
        return [
            {"index": i + 1, "eigenvalue": value, "gap": gaps[i]}
            for i, value in enumerate(self.result.eigenvalues)
        ]

    def _scans(self, places: Places | None) -> list[dict[str, Any]]:
        keys = ("participant_id", "session_id", "outcome", "true_class", "split", "probability")
        return [
            {
                **{key: row[key] for key in keys},
                "configuration": self.configuration,
                "space": self.space,
                "cluster": int(label) + 1,
                "stability": float(self.stability.clusters[label]),
                "y_true": int(row["true_class"] == self.positive),
                "relevance_outside": None if places is None else float(places.outside[i]),
                "relevance_edge": None if places is None else float(places.edge[i]),
                "scan": self.names[i],
                "x": self.result.embedding[i, 0],
                "y": self.result.embedding[i, 1],
            }
            for i, (row, label) in enumerate(zip(self.rows, self.result.labels, strict=True))
        ]

    def confounds(self, audit: Audit) -> list[dict[str, Any]]:
        """One row a test."""
        return [
            {
                "configuration": self.configuration,
                "space": self.space,
                "cluster": row.cluster + 1,
                "covariate": row.covariate.name,
                "kind": row.covariate.kind,
                **vars(row.test),
                "q": row.q,
                "q_within": row.q_within,
                "n": row.n,
                "counts": row.counts,
            }
            for row in audit.rows
        ]

    def verdicts(self, audit: Audit) -> list[dict[str, Any]]:
        """One row a cluster, the most suspicious first."""
        survives = self.stability.survives
        return [
            {
                "configuration": self.configuration,
                "space": self.space,
                "rank": rank,
                "cluster": verdict.cluster + 1,
                "finding": verdict.finding,
                "strength": verdict.strength,
                "n": int((self.result.labels == verdict.cluster).sum()),
                "stability": float(self.stability.clusters[verdict.cluster]),
                "survives": bool(survives[verdict.cluster]),
                "verdict": verdict.text,
                "examples": ",".join(dict.fromkeys(self.names[i] for i in verdict.examples)),
            }
            for rank, verdict in enumerate(audit.verdicts, start=1)
        ]


def contingency(about: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Counts of heatmaps by cluster and class, outcome and split; zeros are listed."""
    clusters = sorted({row["cluster"] for row in about})
    found = []
    for variable, key in (("class", "true_class"), ("outcome", "outcome"), ("split", "split")):
        counts = Counter((row["cluster"], row[key]) for row in about)
        values = (
            ("TN", "FN", "TP", "FP") if key == "outcome" else sorted({row[key] for row in about})
        )
        found += [
            {"cluster": cluster, "variable": variable, "value": value, "n": counts[cluster, value]}
            for cluster in clusters
            for value in values
        ]
    return found


def write_covariates(path: Path, columns: Sequence[Column], names: Sequence[str]) -> list[Path]:
    """Write what is known of every scan of the study."""
    described = {"scan": "Scan"} | {column.name: column.words for column in columns}
    rows: list[dict[str, Any]] = [
        {"scan": name} | {column.name: column.values.get(name, "") for column in columns}
        for name in names
    ]
    return write_table(path, rows, described)
