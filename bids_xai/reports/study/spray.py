"""Spectral relevance analysis: which clusters the heatmaps form, and who is in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bids_xai.bids.images import Volume
from bids_xai.core.spray.stability import SURVIVES_FROM
from bids_xai.figures.clusters import (
    OUTCOMES,
    Embedding,
    cluster_maps,
    eigenvalue_panels,
    embedding_panels,
)
from bids_xai.reports.blocks import Block, Details, Items, Subheading, Table, Text, embedded
from bids_xai.reports.study.maps import MEAN_PERCENTILES, template_background, window_words
from bids_xai.reports.study.spray_explorer import explorer
from bids_xai.reports.study_files import Study, natural, section
from bids_xai.reports.volumes import is_signed, load, on_grid, positive_window
from bids_xai.tables.numbers import (
    MISSING,
    number,
    percent,
    plural,
    read_rows,
    read_table,
    value_of,
)

VERDICTS, SUSPICIOUS = "spray/verdicts.tsv", "suspicious"
SPACES = {"T1w": "subject space", "template": "template space"}
_EMBEDDINGS = {"tsne": "t-SNE", "umap": "UMAP"}
_MOST_TESTS = 12
_READING = (
    "A cluster that goes with the diagnosis alone is what one hopes for. A suspicious cluster goes "
    "with something technical beyond the diagnosis, or its relevance lies outside the brain. This "
    "is a reason to look; it proves nothing. No finding does not prove that the model is honest: "
    "the audit cannot find what the tables do not hold."
)


@section("Spectral relevance analysis (SpRAy)", "spray")
def spectral(study: Study) -> list[Block]:
    """Return verdicts, embeddings, eigenvalues, tables and mean maps of all analyses."""
    folders = _folders(study)
    if not folders:
        return [study.missing("spray/<configuration>_<space>/clusters.tsv", "spray")]
    blocks: list[Block] = [*verdicts(study, folders), *_embeddings(study, folders)]
    blocks += explorer(study, {_words(*key): folder for key, folder in folders.items()})
    spectra = [block for space in SPACES for block in _eigenvalues(study, space, folders)]
    if spectra:
        title = "Eigenvalues: how the number of clusters was chosen"
        blocks.append(Details(title, tuple(spectra)))
    for (identifier, space), folder in folders.items():
        blocks += [
            Subheading(_words(identifier, space)),
            *_notes(study, folder.name),
            *_sureness(study, folder.name),
            *_contingency(study, folder),
            *_confounds(folder),
            *_cluster_maps(study, identifier, space, folder),
        ]
    return blocks


def embedding_name(study: Study) -> str:
    """``t-SNE`` or ``UMAP``, as the study's settings say."""
    chosen = study.settings("spray").get("embedding", "tsne")
    return _EMBEDDINGS.get(str(chosen), str(chosen))


def _words(identifier: str, space: str) -> str:
    return f"Configuration {identifier}, {SPACES[space]}"


def verdicts(study: Study, folders: Mapping[tuple[str, str], Path]) -> list[Block]:
    """Return what the audit found: suspicious clusters as a warning, then every analysis."""
    rows = read_rows(study.folder / VERDICTS)
    if not rows:
        return [study.missing(VERDICTS, "spray")]
    blocks: list[Block] = []
    alarms = [row for row in rows if row["finding"] == SUSPICIOUS]
    if alarms:
        lines = tuple(
            f"{_words(row['configuration'], row['space'])}: {row['verdict']} "
            f"Look at: {row['examples'].replace(',', ', ')}."
            for row in alarms
        )
        blocks.append(Text("Suspicious clusters of heatmaps, which may show a shortcut:"))
        blocks.append(Items(lines, "problem"))
    else:
        blocks.append(Text("No suspicious cluster of heatmaps was found."))
    for key in folders:
        own = [row for row in rows if (row["configuration"], row["space"]) == key]
        quiet = [row["verdict"] for row in own if row["finding"] != SUSPICIOUS]
        lead = f"{_words(*key)}: {plural(len(own), 'cluster')}, {len(own) - len(quiet)} suspicious."
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
    name = embedding_name(study)
    described = f"{name} embedding of the heatmaps by configuration and space, marked by outcome"
    caption = (
        f"{name}: each mark is one heatmap of a test scan, and near marks are similar heatmaps. "
        "Colour is the true class; hollow marks are wrong predictions. Numbers stand at the middle "
        "of each cluster, with a question mark where it does not survive resampling. Distances "
        f"between clusters that lie far apart mean nothing in {name}."
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
        "each. The filled bar is at the number of clusters that was taken."
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
    return frozenset(
        row["cluster"] for row in rows if value_of(row.get("stability", MISSING)) < SURVIVES_FROM
    )


def _sureness(study: Study, name: str) -> list[Block]:
    """Agreement over seeds, neighbours and samples, and with the clusters of the input maps."""
    said = study.description.get("spray", {}).get(name, {})
    found = said.get("ari")
    if not found:
        return []
    text = (
        "How sure the clusters are, as adjusted Rand index (1: the same clusters) with other runs "
        f"of the analysis: other seeds {_two(found['seed'])}, other numbers of neighbours "
        f"{_two(found['neighbours'])}, bootstrap samples {_two(found['bootstrap'])}. "
        f"{percent(said.get('same_number'), 0)} of the samples give as many clusters."
    )
    inputs = said.get("inputs")
    if inputs:
        text += (
            f" Control: the input maps of the same scans form "
            f"{plural(inputs['n_clusters'], 'cluster')}; the adjusted Rand index with the clusters "
            f"of heatmaps is {_two(inputs['ari'])}."
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
        counts = [
            *((part["true_class"] == c).sum() for c in classes),
            *((part["outcome"] == outcome).sum() for outcome in OUTCOMES),
        ]
        people, splits = part["participant_id"].nunique(), part["split"].nunique()
        sure = part["stability"].iloc[0] if "stability" in part.columns else MISSING
        rows.append(
            (
                f"Cluster {name}",
                str(len(part)),
                *(str(int(n)) for n in counts),
                str(people),
                str(splits),
                _stability(sure),
            )
        )
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
    rows = read_rows(folder / "confounds.tsv")
    if not rows:
        return []
    order = sorted(rows, key=lambda row: (row["counts"] != "true", float(row["p"])))
    lines = tuple(
        (
            f"Cluster {row['cluster']}",
            row["covariate"],
            row["test"],
            number(value_of(row["effect_size"]), 2),
            number(value_of(row["effect_within"]), 2),
            number(value_of(row["p"]), 2),
            number(value_of(row["q"]), 2),
            number(value_of(row["q_within"]), 2),
            row["n"],
            "yes" if row["counts"] == "true" else "no",
        )
        for row in order[:_MOST_TESTS]
    )
    shown = (
        f"the {len(lines)} first of {len(rows)} tests" if len(lines) < len(rows) else "all tests"
    )
    caption = (
        f"Clusters and covariates, {shown}. Effect: Cramér's V, or rank-biserial correlation. "
        "q: false-discovery rate; within: what is beyond diagnosis and split (n/a: the "
        "cluster is one class or one split)."
    )
    header = (
        "Cluster",
        "Covariate",
        "Test",
        "Effect",
        "Effect within",
        "p",
        "q",
        "q within",
        "n",
        "Counts",
    )
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
    words = window_words(window, signed, "these maps together")
    caption = f"The same slices and the same colours for all clusters; {what}. {words}"
    described = f"Mean heatmaps of {len(maps)} clusters, configuration {identifier}, {space}"
    return [embedded(image, described, caption)]


def _background(study: Study, space: str, like: Volume) -> tuple[Any, str]:
    if space == "template":
        return template_background(study, like)
    text = "no background, because brains are not aligned in subject space"
    return np.zeros(like.data.shape, np.float32), text


def _cluster(file: Path) -> str:
    return file.name.removeprefix("cluster-").removesuffix("_mean.nii.gz")
