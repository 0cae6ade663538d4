"""One analysis: clusters of heatmaps, how stable they are, and what they go with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bids_xai.arrays import Floats32, Ints
from bids_xai.core.spray.audit import Audit, audit
from bids_xai.core.spray.clusters import SprayResult, spray
from bids_xai.core.spray.neighbours import Maps
from bids_xai.core.spray.stability import Stability, stability
from bids_xai.group.spray.covariate_sources import ScanColumn
from bids_xai.group.spray.covariates import covariates
from bids_xai.group.spray.inputs import NETWORK
from bids_xai.group.spray.locations import cluster_means, locations_in_words, spot_covariates
from bids_xai.group.spray.shares import RelevanceShares
from bids_xai.group.spray.stack import Stack
from bids_xai.studies.tables import Spray
from bids_xai.tables.predictions import Prediction
from bids_xai.templates.grid import TemplateGrid


@dataclass(frozen=True)
class Heatmaps:
    """Whose the n maps of an analysis are.

    space : ``T1w`` or ``template``; predictions : (n) of each map; scans : (n) names
    positive : name of the positive class
    """

    configuration: str
    space: str
    predictions: tuple[Prediction, ...]
    scans: tuple[str, ...]
    positive: str

    @property
    def name(self) -> str:
        """``<configuration>_<space>``, the name of the analysis."""
        return f"{self.configuration}_{self.space}"

    @property
    def participants(self) -> list[str]:
        """Whose each map is (n)."""
        return [row.participant_id for row in self.predictions]

    def part(self, rows: Ints) -> Heatmaps:
        """Return some of the maps, by their numbers (m,)."""
        return replace(
            self,
            predictions=tuple(self.predictions[row] for row in rows),
            scans=tuple(self.scans[row] for row in rows),
        )


@dataclass(frozen=True)
class Clustering:
    """Clusters of maps, and what becomes of them with other seeds, neighbours and samples."""

    result: SprayResult
    stability: Stability


@dataclass(frozen=True)
class AuditedClusters:
    """Clusters of heatmaps, what they go with, and the mean map (x, y, z) of each, from 0."""

    clustering: Clustering
    audit: Audit
    means: Mapping[int, Floats32]


def cluster(maps: Maps, options: Spray, *, seed: int = 0, device: str = "cpu") -> Clustering:
    """Cluster maps (n, p) as the options say, and see how stable that is.

    device : ``cpu``, or of torch, for distances between maps
    Raises what :func:`~bids_xai.core.spray.clusters.spray` raises.
    """
    result = spray(
        maps,
        options.neighbours,
        seed,
        max_clusters=options.max_clusters,
        embedding=options.embedding,
        memory_mb=options.memory_mb,
        approximate_from=options.approximate_from,
        device=device,
    )
    return Clustering(
        result,
        stability(
            result, max_clusters=options.max_clusters, seed=seed, bootstraps=options.bootstraps
        ),
    )


def analyse(
    stack: Stack,
    heatmaps: Heatmaps,
    columns: Sequence[ScanColumn],
    shares: RelevanceShares,
    options: Spray,
    *,
    seed: int = 0,
    device: str = "cpu",
    grid: TemplateGrid | None = None,
) -> AuditedClusters:
    """Cluster the heatmaps of one configuration in one space, and test every cluster.

    stack : the n maps; heatmaps : whose they are
    columns : what is known of scans; shares : (n) of relevance at wrong places
    grid : regions of the template, for maps in template space
    Raises what :func:`~bids_xai.core.spray.clusters.spray` raises.
    """
    clustering = cluster(stack.maps, options, seed=seed, device=device)
    labels = clustering.result.labels
    means = cluster_means(stack, labels)
    in_network = heatmaps.space == NETWORK
    locations = locations_in_words(
        stack,
        means,
        np.bincount(labels),
        grid=None if in_network else grid,
        brain=shares.brain if in_network else None,
    )
    tested = covariates(columns, heatmaps.scans, heatmaps.predictions, shares)
    if in_network and shares.brain is not None:
        tested += spot_covariates(stack, labels, heatmaps.participants, shares.brain, seed)
    findings = audit(
        labels,
        tested,
        classes=[row.true_class for row in heatmaps.predictions],
        participants=heatmaps.participants,
        splits=[str(row.split) for row in heatmaps.predictions],
        stability=clustering.stability.clusters,
        survives=clustering.stability.survives,
        locations=locations,
        seed=seed,
    )
    return AuditedClusters(clustering, findings, means)
