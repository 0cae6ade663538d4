"""The participant-level stage that needs a trained model: prediction, relevance, regions."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bids_xai.attribution import METHODS, options_record
from bids_xai.attribution.request import POSITIVE, WHOLE, Request, requests_of
from bids_xai.bids.files import column_descriptions, nifti_bytes, tsv_text
from bids_xai.bids.images import Volume
from bids_xai.bids.manifest import Product, save_manifest
from bids_xai.bids.names import label_of
from bids_xai.errors import UsageError
from bids_xai.models.card import ModelCard, load_model
from bids_xai.runtime.device import choose_device
from bids_xai.stages import explain as explaining
from bids_xai.stages.network_grid import InputRule
from bids_xai.stages.products import Origin, resolution_text
from bids_xai.templates.grid import TemplateGrid, load_template_grid

_PREDICTION_COLUMNS = {
    "model": "Label of the model",
    "class": "Class",
    "probability": "Softmax output of the class",
    "predicted": "Whether this is the class with the highest probability",
}


def model_products(
    folder: Path,
    origin: Origin,
    map_file: Path,
    mask_file: Path,
    *,
    to_template: Path | None,
    model_path: Path,
    template: str,
    methods: tuple[str, ...],
    target: str | None,
    device: str,
    renormalise: bool = False,
    atlases: tuple[str, ...] = (),
) -> dict[str, Path]:
    """Predict and explain one map; write heatmaps and tables into ``folder``.

    to_template : ``None`` for a map that lies on the template's grid
    atlases : as on the command line; relevance is summed over the regions of each
    """
    model, card = load_model(model_path)
    device = choose_device(device)
    rule = InputRule.of_model(card, model_path)
    grid = load_template_grid(template, atlases)
    files = sorted(map_file.parent.glob("*_space-T1w_atlas-*_dseg.nii.gz"))
    labels: Path | Volume | None = files[0] if files else None
    if to_template is None:
        labels = grid.atlas.volume if grid.atlas else None
    scan = explaining.open_scan(model, card, rule, map_file, mask_file, device)
    products = _prediction(folder, origin, card, scan)
    for way in ways_to_explain(methods, target):
        found = explaining.explain_scan(model, card, scan, way, device=device, labels=labels)
        warped = explaining.warp_relevance(
            found.relevance, grid, to_template, renormalise=renormalise
        )
        products += _relevance(folder, origin, card, way, found, warped, grid)
    return {"manifest": save_manifest(folder, products)}


def ways_to_explain(methods: tuple[str, ...], target: str | None) -> list[Request]:
    """Return the requests of a command line.

    A target class makes methods that start at the whole softmax vector start at its probability.
    """
    whole = {name: METHODS[name].start == "softmax" for name in methods}
    options = {name: {"start": "probability"} for name in methods if target and whole[name]}
    return requests_of(methods, options, target or POSITIVE)


def check_request(card: ModelCard, methods: tuple[str, ...], target: str | None) -> None:
    """Raise :class:`UsageError` for a method or class that does not exist."""
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        raise UsageError(
            f"unknown attribution method {', '.join(unknown)}", fix=f"use {', '.join(METHODS)}"
        )
    for way in ways_to_explain(methods, target):
        way.check(card.classes)


def _prediction(
    folder: Path, origin: Origin, card: ModelCard, scan: explaining.OpenScan
) -> list[Product]:
    label, best = explaining.model_label(card), int(scan.probabilities.argmax())
    rows = [
        {"model": label, "class": name, "probability": p, "predicted": index == best}
        for index, (name, p) in enumerate(zip(card.classes, scan.probabilities, strict=True))
    ]
    path = folder / "prediction.tsv"
    path.write_text(tsv_text(rows, _PREDICTION_COLUMNS))
    about: dict[str, Any] = dict(column_descriptions(_PREDICTION_COLUMNS))
    about["Sources"] = list(origin.sources)
    about["Model"] = json.loads(json.dumps(asdict(card)))
    del about["Model"]["training_participants"]  # other people have no place in this file
    return [Product(path.name, {**origin.entities, "model": label}, "prediction", ".tsv", about)]


def _relevance(
    folder: Path,
    origin: Origin,
    card: ModelCard,
    way: Request,
    found: explaining.Explanation,
    warped: Volume,
    grid: TemplateGrid,
) -> list[Product]:
    names = {
        **origin.entities,
        "model": explaining.model_label(card),
        "desc": way.label,
        "label": label_of(found.class_name),
    }
    whole = found.class_name == WHOLE
    index = 0 if whole else card.classes.index(found.class_name)
    about = {
        "Sources": list(origin.sources),
        "Method": way.method,
        "Start": way.start if whole else f"{way.start} of {found.class_name}",
        "Options": options_record(way.method, index, **way.options),
        "SumBeforeWarp": found.total,
        "SumAfterWarp": float(warped.data.sum(dtype="float64")),
        "InnerMaskShare": found.inner_share,
        "SkullStripped": card.skull_strip,
    }
    space = {"space": grid.space.template, "res": str(grid.space.resolution)}
    own = {"space": card.space} if card.space == "T1w" else {**space, "res": "input"}
    products = []
    for kind, volume, extra, more in (
        (
            "native",
            found.relevance,
            own,
            {"Grid": "network input", "Resolution": resolution_text(found.relevance)},
        ),
        ("template", warped, space, {"Resolution": resolution_text(warped)}),
    ):
        path = folder / f"{kind}_{way.label}_relmap.nii.gz"
        path.write_bytes(nifti_bytes(volume.data, volume.affine))
        sidecar = {**about, **more}
        products.append(Product(path.name, {**names, **extra}, "relmap", ".nii.gz", sidecar))
    for atlas in grid.atlases:
        rows = explaining.region_rows(warped, atlas, way.name)
        products.append(_regions(folder, {**names, "atlas": atlas.name}, rows, grid))
    return products


def _regions(
    folder: Path, names: dict[str, str], rows: list[dict[str, Any]], grid: TemplateGrid
) -> Product:
    columns = explaining.REGION_COLUMNS
    path = folder / f"{names['atlas']}_{names['desc']}_regions.tsv"
    path.write_text(tsv_text(rows, columns))
    entities = {**names, "space": grid.space.template}
    return Product(path.name, entities, "regions", ".tsv", column_descriptions(columns))
