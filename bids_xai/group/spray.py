"""Step ``spray``: spectral clustering of the heatmaps of every configuration in both spaces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.bids.files import write_json, write_nifti
from bids_xai.bids.images import Volume, read_volume
from bids_xai.core.inputs import centred_grid, covering_shape, resample_grid
from bids_xai.core.spray import SprayResult, spray
from bids_xai.group.context import LOG, GroupContext, read_rows, write_table

_EIGENVALUE_COLUMNS = {
    "index": "Number of the eigenvalue of the normalised Laplacian, from 1, smallest first",
    "eigenvalue": "Eigenvalue",
    "gap": "Next eigenvalue minus this one; the largest gap gives the number of clusters",
}
_SCAN_COLUMNS = {
    "participant_id": "Participant",
    "session_id": "Session, n/a where the dataset has none",
    "split": "Number of the split, from 0",
    "cluster": "Cluster, from 1",
    "true_class": "Class of the participant",
    "outcome": "TP, FP, TN or FN",
}
_EMBEDDING_COLUMNS = _SCAN_COLUMNS | {
    "x": "First t-SNE coordinate, arbitrary units",
    "y": "Second t-SNE coordinate, arbitrary units",
}
_MAP_COLUMN = {"T1w": "relevance", "template": "warped"}


def run(context: GroupContext) -> list[Path]:
    """Write ``spray/<configuration>_<space>/`` for every configuration with heatmaps."""
    method = context.study.attribution.methods[0]
    rows = [
        row
        for row in read_rows(context.folder / "predictions.tsv", "explain")
        if row["method"] == method
    ]
    written: list[Path] = []
    notes: dict[str, Any] = {}
    for configuration in context.study.configurations:
        mine = [row for row in rows if row["configuration"] == configuration.id]
        for space in context.study.spray.spaces if mine else ():
            if any(row[_MAP_COLUMN[space]] == "n/a" for row in mine):
                continue  # no template
            name = f"{configuration.id}_{space}"
            found, files = _one(context, name, mine, _MAP_COLUMN[space])
            notes[name] = {"n_clusters": found.n_clusters, "notes": list(found.notes)}
            written += files
    return [*written, _note(context, notes)]


def _one(
    context: GroupContext, name: str, rows: list[dict[str, str]], column: str
) -> tuple[SprayResult, list[Path]]:
    settings = context.study.spray
    features, like = _features(context, rows, column)
    found = spray(
        features,
        neighbours=settings.neighbours,
        max_clusters=settings.max_clusters,
        seed=context.settings.random_seed,
    )
    for note in found.notes:
        LOG.info("spray %s: %s", name, note)
    folder = context.folder / "spray" / name
    gaps = [*found.gaps, None]
    eigenvalues = [
        {"index": i + 1, "eigenvalue": value, "gap": gaps[i]}
        for i, value in enumerate(found.eigenvalues)
    ]
    about = [
        {**row, "cluster": int(label) + 1, "x": x, "y": y}
        for row, label, (x, y) in zip(rows, found.labels, found.embedding, strict=True)
    ]
    written = [
        *write_table(folder / "eigenvalues.tsv", eigenvalues, _EIGENVALUE_COLUMNS),
        *write_table(folder / "clusters.tsv", about, _SCAN_COLUMNS),
        *write_table(folder / "embedding.tsv", about, _EMBEDDING_COLUMNS),
    ]
    for old in folder.glob("cluster-*_mean.*"):
        old.unlink()
    for cluster in range(found.n_clusters):
        mean = features[found.labels == cluster].mean(axis=0).reshape(like.data.shape)
        path = folder / f"cluster-{cluster + 1}_mean.nii.gz"
        written.append(write_nifti(path, mean.astype(np.float32), like.affine))
    return found, written


def _features(
    context: GroupContext, rows: list[dict[str, str]], column: str
) -> tuple[NDArray[np.float32], Volume]:
    """Return maps (n, voxels) on one grid of at least ``voxel_mm``, and that grid."""
    voxel_mm = context.study.spray.voxel_mm
    first = _coarse(read_volume(context.folder / rows[0][column]), voxel_mm)
    features = np.empty((len(rows), first.data.size), dtype=np.float32)
    for index, row in enumerate(rows):
        features[index] = _coarse(read_volume(context.folder / row[column]), voxel_mm).data.ravel()
    return features, first


def _coarse(volume: Volume, voxel_mm: float) -> Volume:
    """Return the volume with voxels of ``voxel_mm`` where they are smaller."""
    if min(volume.voxel_mm) >= voxel_mm - 1e-3:
        return volume
    shape = covering_shape(volume.data.shape, volume.affine, voxel_mm)
    affine = centred_grid(volume.data.shape, volume.affine, shape, voxel_mm)
    return Volume(resample_grid(volume.data, volume.affine, shape, affine), affine)


def _note(context: GroupContext, notes: dict[str, Any]) -> Path:
    """Add what was found to ``study.json``."""
    path = context.folder / "study.json"
    content = json.loads(path.read_text()) if path.is_file() else {}
    return write_json(path, {**content, "spray": notes})
