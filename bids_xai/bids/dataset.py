"""Files at the root of the derivative dataset."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import bids_xai
from bids_xai.bids.files import write_json, write_text

BIDS_VERSION = "1.10.0"

_IGNORED = (
    "*_xfm.txt",
    "*_xfm.h5",
    "*_xfm.json",
    "*_relmap.nii.gz",
    "*_relmap.json",
    "*_prediction.tsv",
    "*_prediction.json",
    "*_regions.tsv",
    "*_regions.json",
    "*_qc.tsv",
    "*_qc.json",
    "*_fitquality.nii.gz",
    "*_fitquality.json",
    "*.html",
    "figures",
    "logs",
    "models",
    "group",
    "work",
    "atlas-*_description.json",
    "group_*",
    "viewer",
)

_DESCRIPTIONS = {
    "preproc": "T1w or FLAIR image after N4 bias correction",
    "lesionfilled": "T1w image with lesions replaced by white matter intensities around them",
    "residual": "standard deviation of the residuals of the R2* fit",
    "brain": "brain mask; its sidecar says how it was computed",
}


def write_dataset_files(
    output_dir: Path, bids_dir: Path, raw: dict[str, Any], others: Mapping[str, Path] | None = None
) -> None:
    """Write dataset_description.json, README.md, .bidsignore and descriptions.tsv.

    others : derivative datasets that files were taken from, by the name their URIs use
    """
    links = {"raw": bids_dir, **(others or {})}
    uris = {name: path.resolve().as_uri() for name, path in links.items()}
    generated: dict[str, Any] = {"Name": "bids_xai", "Version": bids_xai.__version__}
    container = os.environ.get("BIDS_XAI_CONTAINER")
    if container:
        kind, _, tag = container.partition(":")
        generated |= {"Container": {"Type": kind, "Tag": tag}}
    write_json(
        output_dir / "dataset_description.json",
        {
            "Name": f"bids_xai derivatives of {raw.get('Name', bids_dir.name)}",
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "derivative",
            "License": raw.get("License", "n/a"),
            "GeneratedBy": [generated],
            "SourceDatasets": [{"URL": uri} for uri in uris.values()],
            "DatasetLinks": uris,
        },
    )
    write_text(output_dir / ".bidsignore", "\n".join(_IGNORED) + "\n")
    write_text(
        output_dir / "descriptions.tsv",
        "desc_id\tdescription\n" + "".join(f"desc-{k}\t{v}\n" for k, v in _DESCRIPTIONS.items()),
    )
    write_text(output_dir / "README.md", _readme(raw))


def _readme(raw: dict[str, Any]) -> str:
    return (
        f"# bids_xai derivatives of {raw.get('Name', 'a BIDS dataset')}\n\n"
        "R2* maps (1/s) and S0 maps from multi-echo GRE, brain masks, registrations to the T1w "
        "image and to the template, and, where a model was given, predictions and relevance "
        "maps.\nOpen `sub-*.html` and `group_*.html` in a browser. `space-T1w` is the grid of "
        "the T1w image; `space-<template>_res-<n>` the template grid of that resolution.\n"
        "Transforms are in ITK format for antsApplyTransforms.\n"
    )


def write_atlas_description(output_dir: Path, name: str, description: str) -> None:
    """Write ``atlas-<name>_description.json``."""
    path = output_dir / f"atlas-{name}_description.json"
    write_json(path, {"Name": name, "Description": description})


def bids_uri(path: Path, bids_dir: Path, dataset: str = "raw") -> str:
    """Return ``bids:raw:sub-01/…`` for a file of the source dataset."""
    relative = os.path.relpath(path, bids_dir)
    return f"bids:{dataset}:{quote(relative)}"
