"""Spectral relevance analysis: how the heatmaps group, and who is in the groups."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bids_xai.bids.images import Volume
from bids_xai.core.spray_stability import SURVIVES_FROM
from bids_xai.figures.clusters import (
    OUTCOMES,
    Embedding,
    cluster_maps,
    eigenvalue_panels,
    embedding_panels,
)
from bids_xai.reports.group_maps import MEAN_PERCENTILES, template_background
from bids_xai.reports.page import Block, Items, Section, Subheading, Table, Text, embedded
from bids_xai.reports.spray_explorer import explorer, read_rows
from bids_xai.reports.study import Study, natural
from bids_xai.reports.tables import MISSING, number, percent, plural, read_table
from bids_xai.reports.volumes import ZERO_NOTE, is_signed, load, on_grid, positive_window

SPACES = {"T1w": "subject space", "template": "template space"}
_TITLE = "Spectral relevance analysis (SpRAy)"
_VERDICT = ("configuration", "space", "finding", "verdict", "examples")
_CONFOUND = ("cluster", "covariate", "test", "effect_size", "p", "q", "q_within", "n", "counts")
_MOST_TESTS = 12
_READING = (
    "A group that goes with the diagnosis alone is what one hopes for. A suspicious one goes with "
    "something technical beyond the diagnosis, or its relevance lies outside the brain. This is a "
    "reason to look, no proof; and no finding is no proof of honesty: what the tables do not "
    "hold cannot be found."
)


def spectral(study: Study) -> Section:
    """Return verdicts, embeddings, eigenvalues, tables and mean maps of all analyses."""
    folders = _folders(study)
    if not folders:
        missing = study.missing("spray/<configuration>_<space>/clusters.tsv", "spray")
        return Section(_TITLE, (missing,))
    blocks: list[Block] = [*verdicts(study, folders), *_embeddings(study, folders)]
    blocks += explorer(study, {_words(*key): folder for key, folder in folders.items()})
    for space in SPACES:
        blocks += _eigenvalues(study, space, folders)
    for (identifier, space), folder in folders.items():
        blocks += [
            Subheading(_words(identifier, space)),
            *_notes(study, folder.name),
            *_sureness(study, folder.name),
            *_contingency(study, folder),
            *_confounds(folder),
            *_cluster_maps(study, identifier, space, folder),
        ]
    return Section(_TITLE, tuple(blocks))


def _words(identifier: str, space: str) -> str:
    return f"Configuration {identifier}, {SPACES[space]}"


def verdicts(study: Study, folders: Mapping[tuple[str, str], Path]) -> list[Block]:
    """Return what the audit found: suspicious clusters as a warning, then every analysis."""
    rows = read_rows(study.folder / "spray" / "verdicts.tsv", _VERDICT)
    if not rows:
        return [study.missing("spray/verdicts.tsv", "spray")]
    blocks: list[Block] = []
    alarms = [row for row in rows if row["finding"] == "suspicious"]
    if alarms:
        lines = tuple(
            f"{_words(row['configuration'], row['space'])}: {row['verdict']} "
            f"Look at: {row['examples'].replace(',', ', ')}."
            for row in alarms
        )
        blocks.append(Text("Suspicious groups of heatmaps, which may show a shortcut:"))
        blocks.append(Items(lines, "problem"))
    else:
        blocks.append(Text("No suspicious group of heatmaps was found."))
    for key in folders:
        own = [row for row in rows if (row["configuration"], row["space"]) == key]
        quiet = [row["verdict"] for row in own if row["finding"] != "suspicious"]
        lead = f"{_words(*key)}: {plural(len(own), 'group')}, {len(own) - len(quiet)} suspicious."
        blocks.append(Text(lead))
        if quiet:
            blocks.append(Items(tuple(quiet)))
    return [*blocks, Text(_READING, "note")]


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
                    points, list(table["outcome"]), list(table["cluster"]), _unstable(folder)
                )
    if not panels:
        return [study.missing("spray/<configuration>_<space>/embedding.tsv")]
    described = "t-SNE embedding of the heatmaps by configuration and space, marked by outcome"
    caption = (
        "Each mark is one heatmap of a test scan; near marks are similar heatmaps. Colour is the "
        "true class, hollow marks are wrong predictions, numbers stand at the middle of each "
        "cluster, with a question mark where it does not survive resampling. Distances between "
        "far groups mean nothing in t-SNE."
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


def _unstable(folder: Path) -> frozenset[str]:
    rows = read_rows(folder / "clusters.tsv")
    return frozenset(row["cluster"] for row in rows if _number(row, "stability") < SURVIVES_FROM)


def _number(row: Mapping[str, str], key: str) -> float:
    text = row.get(key, MISSING)
    return math.nan if text == MISSING else float(text)


def _sureness(study: Study, name: str) -> list[Block]:
    """Agreement over seeds, neighbours and samples, and with the clusters of the input maps."""
    said = study.description.get("spray", {}).get(name, {})
    found = said.get("ari")
    if not found:
        return []
    text = (
        "Adjusted Rand index with the same analysis under other seeds "
        f"{_two(found['seed'])}, other numbers of neighbours {_two(found['neighbours'])}, "
        f"bootstrap samples {_two(found['bootstrap'])}; {percent(said.get('same_number'), 0)} of "
        "the samples give as many clusters."
    )
    inputs = said.get("inputs")
    if inputs:
        text += (
            f" Control: the input maps of the same scans form "
            f"{plural(inputs['n_clusters'], 'group')}, adjusted Rand index with the groups of "
            f"heatmaps {_two(inputs['ari'])}."
        )
    return [Text(text)]


def _two(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2f}"


def _contingency(study: Study, folder: Path) -> list[Block]:
    table = read_table(folder / "clusters.tsv")
    if table is None:
        return [study.missing(f"spray/{folder.name}/clusters.tsv")]
    classes = sorted(table["true_class"].unique(), key=natural)
    rows = []
    for name in sorted(table["cluster"].unique(), key=natural):
        part = table[table["cluster"] == name]
        counts = [*((part["true_class"] == c).sum() for c in classes),
                  *((part["outcome"] == outcome).sum() for outcome in OUTCOMES)]  # fmt: skip
        people, splits = part["participant_id"].nunique(), part["split"].nunique()
        sure = part["stability"].iloc[0] if "stability" in part.columns else MISSING
        rows.append((f"Cluster {name}", str(len(part)), *(str(int(n)) for n in counts),
                     str(people), str(splits), _stability(sure)))  # fmt: skip
    header = ("Cluster", "Heatmaps", *classes, *OUTCOMES, "Participants", "Splits", "Stability")
    caption = (
        f"Clusters by class and outcome ({table['split'].nunique()} splits in all). A cluster from "
        "few splits may follow the model that made its heatmaps rather than the scans. Stability: "
        "mean Jaccard similarity over bootstrap samples."
    )
    return [Table(caption, header, tuple(rows))]


def _stability(text: str) -> str:
    if text == MISSING:
        return MISSING
    value = float(text)
    return f"{value:.2f}" + ("" if value >= SURVIVES_FROM else " (does not survive)")


def _confounds(folder: Path) -> list[Block]:
    """The strongest findings of the audit: those that count, then the surest."""
    rows = read_rows(folder / "confounds.tsv", _CONFOUND)
    if not rows:
        return []
    order = sorted(rows, key=lambda row: (row["counts"] != "true", float(row["p"])))
    lines = tuple(
        (f"Cluster {row['cluster']}", row["covariate"], row["test"],
         number(_number(row, "effect_size"), 2), number(_number(row, "p"), 2),
         number(_number(row, "q"), 2), number(_number(row, "q_within"), 2), row["n"],
         "yes" if row["counts"] == "true" else "no")
        for row in order[:_MOST_TESTS]
    )  # fmt: skip
    shown = (
        f"the {len(lines)} first of {len(rows)} tests" if len(lines) < len(rows) else "all tests"
    )
    caption = (
        f"Clusters and covariates, {shown}. Effect: Cramér's V, or rank-biserial correlation. "
        "q: false-discovery rate; within: of what is beyond diagnosis and split (n/a: the "
        "cluster is one class or one split)."
    )
    header = ("Cluster", "Covariate", "Test", "Effect", "p", "q", "q within", "n", "Counts")
    return [Table(caption, header, lines)]


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
    image = cluster_maps(
        background,
        base.voxel_mm,
        maps,
        window=window,
        signed=signed,
        title=f"{_words(identifier, space)}: mean heatmap of each cluster",
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
