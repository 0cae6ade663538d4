"""What the step ``spray`` writes: a folder an analysis, and the tables of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bids_xai.bids.files import write_bytes, write_json, write_nifti
from bids_xai.figures.cluster_tiles import tile_sheet
from bids_xai.group.spray.analysis import Clustering, Heatmaps
from bids_xai.group.spray.compute import AnalysisResult
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
from bids_xai.group.spray.virelay import write_project
from bids_xai.studies.tables import Target
from bids_xai.tables.spray import (
    CLUSTER_VERDICTS,
    CLUSTERS,
    CONFOUNDS,
    CONTINGENCY,
    COVARIATES,
    EIGENVALUES,
    EMBEDDING,
    STABILITY,
    AnalysisSummary,
    ClusterVerdict,
    Confound,
)


class SprayWriter:
    """Writes analyses as they come, and at the end the tables of all of them.

    folder : ``spray``; written : every file so far; summaries : analysis → summary
    """

    def __init__(self, folder: Path, study: str, target: Target, method: str) -> None:
        self._folder, self._study, self._target, self._method = folder, study, target, method
        self.written: list[Path] = []
        self.summaries: dict[str, AnalysisSummary] = {}
        self._confounds: list[Confound] = []
        self._verdicts: list[ClusterVerdict] = []

    def add(self, result: AnalysisResult) -> None:
        """Write the folder of an analysis, that of its control, and its project for ViRelAy."""
        heatmaps, clusters = result.heatmaps, result.clusters
        folder = self._folder / heatmaps.name
        confounds = confound_rows(heatmaps, clusters.audit)
        self.written += write_clustering(folder, heatmaps, clusters.clustering, result.shares)
        for cluster, mean in clusters.means.items():
            file = folder / f"cluster-{cluster + 1}_mean.nii.gz"
            self.written.append(write_nifti(file, mean, result.affine))
        self.written.append(write_bytes(folder / "mosaics.png", tile_sheet(result.tiles)))
        self.written += CONFOUNDS.write(folder / "confounds.tsv", confounds)
        if result.control is not None:
            self.written += write_clustering(
                self._folder / f"{heatmaps.name}_input",
                heatmaps.part(result.control.first),
                result.control.clustering,
            )
        if len(result.slices):
            self.written += write_project(
                folder / "virelay",
                heatmaps,
                clusters.clustering,
                slices=result.slices,
                inputs=None if result.control is None else result.control.slices_of_heatmap,
                classes=self._target.names,
                study=self._study,
                method=self._method,
            )
        self._confounds += confounds
        self._verdicts += verdict_rows(heatmaps, clusters)
        self.summaries[heatmaps.name] = result.summary

    def finish(self, columns: Sequence[ScanColumn], scans: Sequence[str]) -> list[Path]:
        """Write the tables of all analyses; return every file written.

        columns : what is known of the scans; scans : their names
        """
        self.written += CONFOUNDS.write(self._folder / "confounds.tsv", self._confounds)
        self.written += CLUSTER_VERDICTS.write(self._folder / "verdicts.tsv", self._verdicts)
        self.written += write_covariates(self._folder / "covariates.tsv", columns, scans)
        self.written.append(write_summaries(self._folder / "summary.json", self.summaries))
        return self.written


def write_clustering(
    folder: Path, heatmaps: Heatmaps, clustering: Clustering, shares: RelevanceShares | None = None
) -> list[Path]:
    """Write eigenvalues, clusters, embedding, contingency and stability; return the files."""
    members = member_rows(heatmaps, clustering, shares)
    embedded = embedding_rows(heatmaps, clustering)
    return [
        *EIGENVALUES.write(folder / "eigenvalues.tsv", eigenvalue_rows(clustering)),
        *CLUSTERS.write(folder / "clusters.tsv", members),
        *EMBEDDING.write(folder / "embedding.tsv", embedded),
        *CONTINGENCY.write(folder / "contingency.tsv", contingency_rows(members)),
        *STABILITY.write(folder / "stability.tsv", stability_rows(clustering)),
    ]


def write_covariates(path: Path, columns: Sequence[ScanColumn], scans: Sequence[str]) -> list[Path]:
    """Write what is known of every scan of the study, and the meaning of each column."""
    return COVARIATES.write(
        path,
        covariate_rows(columns, scans),
        more=[column.name for column in columns],
        notes={column.name: column.meaning for column in columns},
    )


def write_summaries(path: Path, summaries: Mapping[str, AnalysisSummary]) -> Path:
    """Write the summary of every analysis."""
    return write_json(path, {name: summary.as_plain() for name, summary in summaries.items()})
