"""Embeddings, eigenvalues and mean maps of clusters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bids_xai.arrays import Floats
from bids_xai.bids.images import Volume
from bids_xai.core.spray.stability import SURVIVES_FROM
from bids_xai.figures.clusters import Embedding, cluster_maps, eigenvalue_panels, embedding_panels
from bids_xai.reports.blocks import Block, Text, embedded
from bids_xai.reports.study.maps import MEAN_PERCENTILES, template_background, window_words
from bids_xai.reports.study.spray.analyses import SPACES, Analysis, embedding_name
from bids_xai.reports.study_files import StudyFiles, natural
from bids_xai.reports.volumes import is_signed, load, on_grid, positive_window
from bids_xai.tables.spray import CLUSTERS, EIGENVALUES, EMBEDDING


def embeddings(study: StudyFiles, analyses: Sequence[Analysis]) -> list[Block]:
    """Return one figure of the embeddings of all analyses."""
    panels = {}
    for space, words in SPACES.items():
        for analysis in analyses:
            panel = _embedding(analysis) if analysis.space == space else None
            if panel is not None:
                panels[analysis.configuration, words] = panel
    if not panels:
        return [study.missing(EMBEDDING, "spray/<configuration>_<space>")]
    name = embedding_name(study)
    described = f"{name} embedding of the heatmaps by configuration and space, marked by outcome"
    caption = (
        f"{name}: each mark is one heatmap of a test scan, and nearby marks are similar "
        "heatmaps. Colour is the true class; hollow marks are wrong predictions. Numbers mark "
        "the centre of each cluster, with a question mark where it does not survive resampling. "
        f"Distances between clusters that are far apart mean nothing in {name}."
    )
    return [embedded(embedding_panels(panels, study.classes), described, caption)]


def _embedding(analysis: Analysis) -> Embedding | None:
    points = analysis.rows(EMBEDDING)
    if not points:
        return None
    unstable = {
        str(member.cluster)
        for member in analysis.rows(CLUSTERS)
        if member.stability is not None and member.stability < SURVIVES_FROM
    }
    return Embedding(
        np.array([(point.x, point.y) for point in points], float),
        [point.outcome for point in points],
        [str(point.cluster) for point in points],
        frozenset(unstable),
    )


def eigenvalues(space: str, analyses: Sequence[Analysis]) -> list[Block]:
    """Return the eigenvalues and their gaps of the analyses in a space, nothing without any."""
    panels = {}
    for analysis in analyses:
        rows = analysis.rows(EIGENVALUES) if analysis.space == space else []
        if rows:
            values = np.array([row.eigenvalue for row in rows], float)
            gaps = np.array([row.gap for row in rows], float)
            title = f"Configuration {analysis.configuration}"
            panels[title] = (values, gaps, analysis.n_clusters)
    if not panels:
        return []
    described = f"Smallest eigenvalues of the Laplacian and their gaps, {SPACES[space]}"
    caption = (
        f"{SPACES[space].capitalize()}: eigenvalues of the normalised Laplacian and the gap after "
        "each. The filled bar is at the number of clusters that was chosen."
    )
    return [embedded(eigenvalue_panels(panels), described, caption)]


def cluster_pictures(study: StudyFiles, analysis: Analysis) -> list[Block]:
    """Return the mean heatmap of each cluster, with the same slices and colours for all."""
    files = sorted(analysis.folder.glob("cluster-*_mean.nii.gz"), key=lambda f: natural(f.name))
    if not files:
        name = f"spray/{analysis.folder.name}/cluster-<k>_mean.nii.gz"
        return [study.missing_file(name, "spray")]
    volumes = {_cluster(file): load(file) for file in files}
    base = next(iter(volumes.values()))
    maps = {f"Cluster {name}": on_grid(volume, base) for name, volume in volumes.items()}
    pooled = np.stack(list(maps.values()))
    signed = is_signed(pooled)
    window = positive_window(pooled, MEAN_PERCENTILES, signed=signed)
    if window is None:
        return [Text("The mean heatmaps of the clusters have no relevance.", "note")]
    background, what = _background(study, analysis.space, base)
    image = cluster_maps(
        background,
        base.voxel_mm,
        maps,
        window=window,
        signed=signed,
        title=f"{analysis.title}: mean heatmap of each cluster",
    )
    words = window_words(window, signed, "these maps together")
    caption = f"The same slices and the same colours for all clusters; {what}. {words}"
    described = (
        f"Mean heatmaps of {len(maps)} clusters, configuration {analysis.configuration}, "
        f"{analysis.space}"
    )
    return [embedded(image, described, caption)]


def _background(study: StudyFiles, space: str, like: Volume) -> tuple[Floats, str]:
    if space == "template":
        return template_background(study, like)
    text = "no background, because brains are not aligned in subject space"
    return np.zeros(like.data.shape, np.float32), text


def _cluster(file: Path) -> str:
    return file.name.removeprefix("cluster-").removesuffix("_mean.nii.gz")
