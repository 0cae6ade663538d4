"""Tables of the clusters of heatmaps and of their audit."""

from __future__ import annotations

from dataclasses import dataclass

from bids_xai.tables.cohort import ScanRow
from bids_xai.tables.table import Table, column


@dataclass(frozen=True, kw_only=True)
class Eigenvalue:
    """An eigenvalue of the normalised Laplacian of the graph of heatmaps."""

    index: int = column(
        "Number of the eigenvalue of the normalised Laplacian, from 1, smallest first"
    )
    eigenvalue: float | None = column("Eigenvalue")
    gap: float | None = column(
        "Next eigenvalue minus this one; the largest gap gives the number of clusters"
    )


@dataclass(frozen=True, kw_only=True)
class ClusterMember(ScanRow):
    """A heatmap and its cluster."""

    configuration: str = column("Configuration of the study")
    space: str = column("T1w (the network's grid) or template")
    cluster: int = column("Cluster, from 1")
    stability: float | None = column(
        "Mean Jaccard similarity of the cluster over bootstrap samples; below 0.75 it"
        " does not survive"
    )
    outcome: str = column("TP, FP, TN or FN")
    y_true: int = column("1 for the positive class, 0 for others")
    probability: float | None = column("Probability of the positive class")
    true_class: str = column("Class of the participant")
    split: int = column("Number of the split, from 0")
    relevance_outside: float | None = column(
        "Share of the absolute relevance outside the brain mask, network's grid"
    )
    relevance_edge: float | None = column("Share of it within one voxel of the border of the mask")
    scan: str = column("Scan, as in covariates.tsv")


@dataclass(frozen=True, kw_only=True)
class EmbeddedMap(ScanRow):
    """Where a heatmap lies in the plane."""

    split: int = column("Number of the split, from 0")
    cluster: int = column("Cluster, from 1")
    true_class: str = column("Class of the participant")
    outcome: str = column("TP, FP, TN or FN")
    x: float | None = column("First coordinate of the embedding, arbitrary units")
    y: float | None = column("Second coordinate of the embedding, arbitrary units")


@dataclass(frozen=True, kw_only=True)
class ContingencyCell:
    """How many heatmaps of a cluster have a value."""

    cluster: int = column("Cluster, from 1")
    variable: str = column("class, outcome or split")
    value: str = column("Its value")
    n: int = column("Number of heatmaps of the cluster with it")


@dataclass(frozen=True, kw_only=True)
class StabilityRun:
    """How the clusters change with a seed, a number of neighbours or the sample."""

    varied: str = column(
        "What was changed: seed of k-means, neighbours of the graph, or the sample (bootstrap)",
        name="what",
    )
    value: int = column("Which seed, how many neighbours, which sample (from 0)")
    n_clusters: int = column("Number of clusters that the eigengap chooses then")
    ari: float | None = column(
        "Adjusted Rand index with the clusters of the analysis, for as many clusters"
    )


@dataclass(frozen=True, kw_only=True)
class Confound:
    """A cluster tested against something known of its scans."""

    configuration: str = column("Configuration of the study")
    space: str = column("T1w (the network's grid) or template")
    cluster: int = column("Cluster, from 1")
    covariate: str = column("Column that the cluster was tested against")
    test: str = column("Test: Fisher's exact, chi-squared or Mann-Whitney by permutations")
    statistic: float | None = column("Odds ratio (halves added), chi-squared, or U of Mann-Whitney")
    effect_size: float | None = column(
        "Cramer's V, or rank-biserial correlation (positive: higher in the cluster)"
    )
    p: float | None = column("p value, two-sided")
    q: float | None = column(
        "False-discovery rate (Benjamini-Hochberg) among the tests of the analysis; "
        "class, outcome and probability apart"
    )
    n: int = column(
        "Units tested: participants; one whose text differs between scans once for each value"
    )
    p_within: float | None = column(
        "p value within classes and splits: beyond diagnosis and model; n/a where nothing can vary"
    )
    q_within: float | None = column("Its false-discovery rate")
    effect_within: float | None = column(
        "Effect size within classes and splits: what counts, but for the diagnosis"
    )
    kind: str = column("expected (diagnosis), suspect, personal or model (split)")
    counts: bool = column(
        "Whether the cluster goes with the covariate: sure, strong, beyond the diagnosis"
    )


@dataclass(frozen=True, kw_only=True)
class ClusterVerdict:
    """What a cluster is, in words."""

    configuration: str = column("Configuration of the study")
    space: str = column("T1w (the network's grid) or template")
    rank: int = column("Order within the analysis, the most suspicious first")
    cluster: int = column("Cluster, from 1")
    finding: str = column("suspicious, model, personal, diagnosis or none")
    strength: float | None = column("Largest absolute effect size behind the finding")
    n: int = column("Heatmaps of the cluster")
    stability: float | None = column("As in clusters.tsv")
    survives: bool = column("Whether the cluster survives resampling")
    verdict: str = column("The finding in words")
    examples: str | None = column("Scans to look at, parted by commas")


EIGENVALUES = Table("eigenvalues.tsv", Eigenvalue, "spray")
CLUSTERS = Table("clusters.tsv", ClusterMember, "spray")
EMBEDDING = Table("embedding.tsv", EmbeddedMap, "spray")
CONTINGENCY = Table("contingency.tsv", ContingencyCell, "spray")
STABILITY = Table("stability.tsv", StabilityRun, "spray")
CONFOUNDS = Table("confounds.tsv", Confound, "spray")
CLUSTER_VERDICTS = Table("verdicts.tsv", ClusterVerdict, "spray")
