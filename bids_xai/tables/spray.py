"""Tables of the clusters of heatmaps and of their audit, and the summary of every analysis."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids_xai.bids.layout import read_json
from bids_xai.core.spray.stability import SURVIVES_FROM
from bids_xai.errors import BadDataError
from bids_xai.tables.cohort import ScanRow
from bids_xai.tables.table import Table, column, more_columns


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
        f"Mean Jaccard similarity of the cluster over bootstrap samples; below {SURVIVES_FROM} it "
        "does not survive"
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
    x: float = column("First coordinate of the embedding, arbitrary units")
    y: float = column("Second coordinate of the embedding, arbitrary units")


@dataclass(frozen=True, kw_only=True)
class ContingencyCell:
    """How many heatmaps of a cluster have a value."""

    cluster: int = column("Cluster, from 1")
    variable: str = column("class, outcome or split")
    value: str = column("Its value")
    n: int = column("Number of heatmaps of the cluster with this value")


@dataclass(frozen=True, kw_only=True)
class StabilityRow:
    """How the clusters change with a seed, a number of neighbours or the sample."""

    varied: str = column(
        "What was changed: seed of k-means, neighbours of the graph, or the sample (bootstrap)",
        name="what",
    )
    value: int = column("Which seed, how many neighbours, which sample (from 0)")
    n_clusters: int = column("Number of clusters that the eigengap then gives")
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
        "class, outcome and probability separately"
    )
    n: int = column(
        "Units tested: participants; one whose text differs between scans once for each value"
    )
    p_within: float | None = column(
        "p value within classes and splits: beyond diagnosis and model; n/a where nothing can vary"
    )
    q_within: float | None = column("Its false-discovery rate")
    effect_within: float | None = column(
        "Effect size within classes and splits: decisive except for the diagnosis"
    )
    kind: str = column("expected (diagnosis), suspect, personal or model (split)")
    counts: bool = column(
        "Whether the cluster is associated with the covariate: significantly, strongly and beyond "
        "the diagnosis"
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


@dataclass(frozen=True, kw_only=True)
class ScanCovariates:
    """What tables, sidecars and quality figures say of a scan; their names depend on the study.

    The table's JSON gives the meaning of each covariate by the notes of :meth:`Table.write`.
    """

    scan: str = column("Scan")
    covariates: Mapping[str, str | None] = more_columns("", "")


EIGENVALUES = Table("eigenvalues.tsv", Eigenvalue, "spray")
CLUSTERS = Table("clusters.tsv", ClusterMember, "spray")
EMBEDDING = Table("embedding.tsv", EmbeddedMap, "spray")
CONTINGENCY = Table("contingency.tsv", ContingencyCell, "spray")
STABILITY = Table("stability.tsv", StabilityRow, "spray")
CONFOUNDS = Table("confounds.tsv", Confound, "spray")
CLUSTER_VERDICTS = Table("verdicts.tsv", ClusterVerdict, "spray")
COVARIATES = Table("covariates.tsv", ScanCovariates, "spray")


@dataclass(frozen=True, kw_only=True)
class TileSheet:
    """The pictures in ``mosaics.png``: height and width of each in pixels, and their number."""

    height: int
    width: int
    tiles: int


@dataclass(frozen=True, kw_only=True)
class MeanAri:
    """Mean adjusted Rand index over the runs of each kind of change; None where there are none."""

    seed: float | None
    neighbours: float | None
    bootstrap: float | None


@dataclass(frozen=True, kw_only=True)
class ControlSummary:
    """Clusters of the input maps, and their adjusted Rand index with those of the heatmaps."""

    n_clusters: int
    ari: float


@dataclass(frozen=True, kw_only=True)
class AnalysisSummary:
    """What the report says of an analysis besides its tables.

    notes : what a reader must know, in words
    same_number : share of the samples that give as many clusters; None without samples
    recall : share of the true neighbours found; None where the search is exact
    inputs : the control; None where there is none
    """

    n_clusters: int
    n_maps: int
    n_suspicious: int
    notes: tuple[str, ...]
    ari: MeanAri
    same_number: float | None
    recall: float | None
    tile: TileSheet
    inputs: ControlSummary | None = None

    def as_plain(self) -> dict[str, Any]:
        """Return what ``summary.json`` and ``study.json`` hold of the analysis."""
        plain = dataclasses.asdict(self)
        if self.inputs is None:
            del plain["inputs"]
        return plain

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> AnalysisSummary:
        """Return the record of what :meth:`as_plain` gave.

        Raises ``KeyError`` or ``TypeError`` where something is missing or unknown.
        """
        control = plain.get("inputs")
        return cls(
            **{
                **plain,
                "notes": tuple(plain["notes"]),
                "ari": MeanAri(**plain["ari"]),
                "tile": TileSheet(**plain["tile"]),
                "inputs": None if control is None else ControlSummary(**control),
            }
        )


def read_summaries(path: Path) -> dict[str, AnalysisSummary]:
    """Return ``<configuration>_<space>`` → summary, from ``spray/summary.json``.

    Raises :class:`BadDataError` where the file is not what the step wrote.
    """
    content = read_json(path)
    try:
        return {name: AnalysisSummary.from_plain(plain) for name, plain in content.items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise BadDataError(
            f"cannot read the summary ({error})", file=path, fix="run --steps spray again"
        ) from error
