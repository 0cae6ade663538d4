"""The participant-level stage that needs a trained model: prediction, relevance, regions."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bids_xai.attribution import METHODS
from bids_xai.bids.files import column_descriptions, nifti_bytes, tsv_text
from bids_xai.bids.manifest import Product, save_manifest
from bids_xai.bids.names import label_of
from bids_xai.errors import UsageError
from bids_xai.interfaces import explain as explaining
from bids_xai.interfaces.products import Origin, resolution_text
from bids_xai.models.card import ModelCard, load_model

_PREDICTION_COLUMNS = {
    "model": "Label of the model",
    "class": "Class",
    "probability": "Softmax output of the class",
    "predicted": "Whether this is the class with the highest probability",
}


def model_products(
    folder: Path, origin: Origin, map_file: Path, mask_file: Path, to_template: Path, *,
    model_path: Path, template: str, methods: tuple[str, ...], target: str | None, device: str,
) -> dict[str, Path]:  # fmt: skip
    """Predict and explain one scan; write maps and tables into ``folder``."""
    model, card = load_model(model_path)
    device = explaining.choose_device(device)
    grid = explaining.load_template_grid(template)
    label = explaining.model_label(card)
    products: list[Product] = []
    for method in methods:
        found = explaining.explain_scan(
            model, card, map_file, mask_file, method=method, target=target, device=device
        )
        if not products:
            products += _prediction(folder, origin, card, label, found)
        products += _relevance(
            folder, origin, card, label, found, method, target, grid, to_template
        )
    return {"manifest": save_manifest(folder, products)}


def check_card(card: ModelCard, methods: tuple[str, ...], target: str | None, file: Path) -> None:
    """Raise :class:`UsageError` where the model cannot be used by this run."""
    if (card.suffix, card.space) != ("R2starmap", "T1w"):
        raise UsageError(
            f"the model wants {card.suffix} in space {card.space}, this run makes R2starmap in T1w",
            file=file,
            fix="use a model trained on R2* maps in the T1w space",
        )
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        raise UsageError(
            f"unknown attribution method {', '.join(unknown)}", fix=f"use {', '.join(METHODS)}"
        )
    explaining.class_index(card, target)


def _prediction(
    folder: Path, origin: Origin, card: ModelCard, label: str, found: explaining.Explanation
) -> list[Product]:
    best = int(found.probabilities.argmax())
    rows = [
        {"model": label, "class": name, "probability": p, "predicted": index == best}
        for index, (name, p) in enumerate(zip(card.classes, found.probabilities, strict=True))
    ]
    path = folder / "prediction.tsv"
    path.write_text(tsv_text(rows, _PREDICTION_COLUMNS))
    about: dict[str, Any] = dict(column_descriptions(_PREDICTION_COLUMNS))
    about["Sources"] = list(origin.sources)
    about["Model"] = json.loads(json.dumps(asdict(card)))
    return [Product(path.name, {**origin.entities, "model": label}, "prediction", ".tsv", about)]


def _relevance(
    folder: Path, origin: Origin, card: ModelCard, label: str, found: explaining.Explanation,
    method: str, target: str | None, grid: explaining.TemplateGrid, to_template: Path,
) -> list[Product]:  # fmt: skip
    names = {
        **origin.entities, "model": label, "desc": label_of(method),
        "label": explaining.start_label(method, target),
    }  # fmt: skip
    warped = explaining.warp_relevance(found.relevance, grid, to_template)
    about = {
        "Sources": list(origin.sources),
        "Method": method,
        "Start": "softmax" if target is None else f"probability of {target}",
        "SumBeforeWarp": found.total,
        "SumAfterWarp": float(warped.data.sum(dtype="float64")),
        "InnerMaskShare": found.inner_share,
        "SkullStripped": card.skull_strip,
    }
    space = {"space": grid.space.template, "res": str(grid.space.resolution)}
    products = []
    for volume, extra, more in (
        (found.relevance, {"space": "T1w"}, {"Grid": "network input"}),
        (warped, space, {"Resolution": resolution_text(warped)}),
    ):
        path = folder / f"{extra['space']}_{label_of(method)}_relmap.nii.gz"
        path.write_bytes(nifti_bytes(volume.data, volume.affine))
        sidecar = {**about, **more}
        products.append(Product(path.name, {**names, **extra}, "relmap", ".nii.gz", sidecar))
    if grid.atlas is not None:
        rows = explaining.region_rows(warped, grid.atlas, method)
        products.append(_regions(folder, names, rows, grid))
    return products


def _regions(
    folder: Path, names: dict[str, str], rows: list[dict[str, Any]], grid: explaining.TemplateGrid
) -> Product:
    columns = explaining.REGION_COLUMNS
    path = folder / f"{names['desc']}_regions.tsv"
    path.write_text(tsv_text(rows, columns))
    entities = {**names, "space": grid.space.template, "atlas": rows[0]["atlas"]}
    return Product(path.name, entities, "regions", ".tsv", column_descriptions(columns))
