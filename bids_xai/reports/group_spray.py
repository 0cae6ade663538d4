"""Spectral relevance analysis: how the heatmaps group, and who is in the groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bids_xai.bids.images import Volume
from bids_xai.figures.clusters import OUTCOMES, Embedding, eigenvalue_panels, embedding_panels
from bids_xai.figures.mosaic import strips
from bids_xai.reports.group_maps import MEAN_PERCENTILES, template_background
from bids_xai.reports.page import Block, Section, Subheading, Table, Text, embedded
from bids_xai.reports.study import Study, natural
from bids_xai.reports.tables import read_table
from bids_xai.reports.volumes import ZERO_NOTE, is_signed, load, on_grid, positive_window

SPACES = {"T1w": "subject space", "template": "template space"}
_TITLE = "Spectral relevance analysis (SpRAy)"


def spectral(study: Study) -> Section:
    """Return embedding, eigenvalues, contingency tables and mean maps of all analyses."""
    folders = _folders(study)
    if not folders:
        missing = study.missing("spray/<configuration>_<space>/clusters.tsv", "spray")
        return Section(_TITLE, (missing,))
    blocks: list[Block] = [*_embeddings(study, folders)]
    for space in SPACES:
        blocks += _eigenvalues(study, space, folders)
    for (identifier, space), folder in folders.items():
        blocks += [
            Subheading(f"Configuration {identifier}, {SPACES[space]}"),
            *_notes(study, folder.name),
            _contingency(study, folder),
            *_cluster_maps(study, identifier, space, folder),
        ]
    return Section(_TITLE, tuple(blocks))


def _folders(study: Study) -> dict[tuple[str, str], Path]:
    """(configuration, space) → folder, spaces one after the other within a configuration."""
    wanted = ((name, space) for name in study.identifiers for space in SPACES)
    found = {key: study.folder / "spray" / "_".join(key) for key in wanted}
    return {key: folder for key, folder in found.items() if folder.is_dir()}


def _embeddings(study: Study, folders: dict[tuple[str, str], Path]) -> list[Block]:
    panels = {}
    for space, words in SPACES.items():
        for (identifier, own), folder in folders.items():
            table = read_table(folder / "embedding.tsv") if own == space else None
            if table is not None:
                points = table[["x", "y"]].to_numpy()
                panels[identifier, words] = Embedding(
                    points, list(table["outcome"]), list(table["cluster"])
                )
    if not panels:
        return [study.missing("spray/<configuration>_<space>/embedding.tsv")]
    described = "t-SNE embedding of the heatmaps by configuration and space, marked by outcome"
    caption = (
        "Each mark is one heatmap of a test scan; near marks are similar heatmaps. Colour is the "
        "true class, hollow marks are wrong predictions, numbers stand at the middle of each "
        "cluster. Distances between far groups mean nothing in t-SNE."
    )
    return [embedded(embedding_panels(panels, study.classes), described, caption)]


def _eigenvalues(study: Study, space: str, folders: dict[tuple[str, str], Path]) -> list[Block]:
    panels = {}
    for (identifier, own), folder in folders.items():
        table = read_table(folder / "eigenvalues.tsv") if own == space else None
        if table is not None:
            values, gaps = table["eigenvalue"].to_numpy(), table["gap"].to_numpy()
            panels[f"Configuration {identifier}"] = (values, gaps, _n_clusters(study, folder))
    if not panels:
        return []
    described = f"Smallest eigenvalues of the Laplacian and their gaps, {SPACES[space]}"
    caption = (
        f"{SPACES[space].capitalize()}: eigenvalues of the normalised Laplacian and the gap after "
        "each. The filled bar is the number of clusters that was taken."
    )
    return [embedded(eigenvalue_panels(panels), described, caption)]


def _n_clusters(study: Study, folder: Path) -> int:
    recorded = study.description.get("spray", {}).get(folder.name, {}).get("n_clusters")
    if recorded is not None:
        return int(recorded)
    table = read_table(folder / "clusters.tsv")
    return 0 if table is None else int(table["cluster"].nunique())


def _notes(study: Study, name: str) -> list[Block]:
    notes = study.description.get("spray", {}).get(name, {}).get("notes", [])
    return [Text(str(note), "note") for note in notes]


def _contingency(study: Study, folder: Path) -> Block:
    table = read_table(folder / "clusters.tsv")
    if table is None:
        return study.missing(f"spray/{folder.name}/clusters.tsv")
    rows = []
    for name in sorted(table["cluster"].unique(), key=natural):
        part = table[table["cluster"] == name]
        outcomes = (str(int((part["outcome"] == outcome).sum())) for outcome in OUTCOMES)
        people, splits = part["participant_id"].nunique(), part["split"].nunique()
        rows.append((f"Cluster {name}", str(len(part)), *outcomes, str(people), str(splits)))
    header = ("Cluster", "Heatmaps", *OUTCOMES, "Participants", "Splits")
    caption = (
        f"Clusters and outcomes ({table['split'].nunique()} splits in all). A cluster from few "
        "splits may follow the model that made its heatmaps rather than the scans."
    )
    return Table(caption, header, tuple(rows))


def _cluster_maps(study: Study, identifier: str, space: str, folder: Path) -> list[Block]:
    files = sorted(folder.glob("cluster-*_mean.nii.gz"), key=lambda f: natural(f.name))
    if not files:
        return [study.missing(f"spray/{folder.name}/cluster-<k>_mean.nii.gz", "spray")]
    volumes = {_cluster(file): load(file) for file in files}
    base = next(iter(volumes.values()))
    maps = {f"Cluster {name}": on_grid(volume, base) for name, volume in volumes.items()}
    pooled = np.stack(list(maps.values()))
    signed = is_signed(pooled)
    window = positive_window(pooled, MEAN_PERCENTILES, signed=signed)
    if window is None:
        return [Text("The mean heatmaps of the clusters hold no relevance.", "note")]
    background, what = _background(study, space, base)
    image = strips(
        background,
        base.voxel_mm,
        maps,
        window=window,
        signed=signed,
        title=f"Configuration {identifier}, {SPACES[space]}: mean heatmap of each cluster",
        colour_bar_label="mean relevance",
    )
    low, high = MEAN_PERCENTILES
    caption = (
        f"Same slices and colours for all clusters: {low:g} to {high:g} percentile of the positive "
        f"values of these maps together ({window[0]:.3g} to {window[1]:.3g}); {what}. {ZERO_NOTE}"
    )
    described = f"Mean heatmaps of {len(maps)} clusters, configuration {identifier}, {space}"
    return [embedded(image, described, caption)]


def _background(study: Study, space: str, like: Volume) -> tuple[Any, str]:
    if space == "template":
        return template_background(study, like)
    text = "no background, because brains are not aligned in subject space"
    return np.zeros(like.data.shape, np.float32), text


def _cluster(file: Path) -> str:
    return file.name.removeprefix("cluster-").removesuffix("_mean.nii.gz")
