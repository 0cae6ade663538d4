"""The participant-level stage that needs a trained model: prediction, relevance, regions."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bids_xai.attribution import METHODS, options_record
from bids_xai.attribution.request import POSITIVE, WHOLE, Request, requests_of
from bids_xai.bids.files import column_descriptions, nifti_bytes
from bids_xai.bids.images import Volume
from bids_xai.bids.manifest import Product, save_manifest
from bids_xai.bids.names import label_of
from bids_xai.errors import UsageError
from bids_xai.models.card import ModelCard, load_model
from bids_xai.models.training_scans import Likeness, compare
from bids_xai.runtime.device import choose_device
from bids_xai.stages import explain as explaining
from bids_xai.stages.network_grid import InputRule
from bids_xai.stages.products import Origin, StageFiles, resolution_text
from bids_xai.stages.scan_facts import facts_of, map_quantiles
from bids_xai.tables.atlas import REGIONS_OF_SCAN, RegionRow
from bids_xai.tables.participant import CLASS_PROBABILITIES, ClassProbability
from bids_xai.templates.grid import TemplateGrid, load_template_grid

LOG = logging.getLogger("bids_xai")


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
) -> StageFiles:
    """Predict and explain one map; write heatmaps and tables into ``folder``.

    to_template : ``None`` for a map that lies on the template's grid
    atlases : as on the command line; relevance is summed over the regions of each
    A scan unlike those of the training is warned of; far outside their values it gets no
    prediction (n/a), but is explained.
    """
    model, card = load_model(model_path)
    device = choose_device(device)
    rule = InputRule.of_model(card, model_path)
    grid = load_template_grid(template, atlases)
    files = sorted(map_file.parent.glob("*_space-T1w_atlas-*_dseg.nii.gz"))
    labels: Path | Volume | None = files[0] if files else None
    if to_template is None:
        labels = grid.atlas.volume if grid.atlas else None
    facts = facts_of(map_file, map_quantiles(map_file, mask_file))
    comparison = compare(facts, card.training_scans, card.scaling)
    for remark in comparison.remarks:
        LOG.warning("%s, model %s: %s", map_file.name, explaining.model_label(card), remark)
    scan = explaining.open_scan(model, card, rule, map_file, mask_file, device)
    products = [_prediction(folder, origin, card, scan, comparison)]
    for request in explanation_requests(methods, target):
        explanation = explaining.explain_scan(
            model, card, scan, request, device=device, labels=labels
        )
        warped = explaining.warp_relevance(
            explanation.relevance, grid, to_template, renormalise=renormalise
        )
        products += _relevance(folder, origin, card, request, explanation, warped, grid)
    return StageFiles(save_manifest(folder, products))


def explanation_requests(methods: tuple[str, ...], target: str | None) -> list[Request]:
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
    for request in explanation_requests(methods, target):
        request.check(card.classes)


def _prediction(
    folder: Path, origin: Origin, card: ModelCard, scan: explaining.OpenScan, comparison: Likeness
) -> Product:
    """The probability of every class, beside the card of the model and remarks on the scan."""
    label, best = explaining.model_label(card), int(scan.probabilities.argmax())
    is_said = not comparison.is_beyond
    rows = [
        ClassProbability(
            model=label,
            class_name=name,
            probability=float(p) if is_said else None,
            predicted=is_said and index == best,
        )
        for index, (name, p) in enumerate(zip(card.classes, scan.probabilities, strict=True))
    ]
    path = folder / "prediction.tsv"
    path.write_text(CLASS_PROBABILITIES.text(rows), encoding="utf-8")
    sidecar: dict[str, Any] = {
        **column_descriptions(CLASS_PROBABILITIES.meanings()),
        "Sources": list(origin.sources),
        "Model": _card_without_people(card),
        "Remarks": list(comparison.remarks),
        "UnlikeTraining": comparison.is_beyond,
    }
    return Product(path.name, {**origin.entities, "model": label}, "prediction", ".tsv", sidecar)


def _card_without_people(card: ModelCard) -> dict[str, Any]:
    """The card as JSON holds it; other people have no place in a participant's files."""
    content = json.loads(json.dumps(asdict(card)))
    return {key: value for key, value in content.items() if key != "training_participants"}


def _relevance(
    folder: Path,
    origin: Origin,
    card: ModelCard,
    request: Request,
    explanation: explaining.Explanation,
    warped: Volume,
    grid: TemplateGrid,
) -> list[Product]:
    """A heatmap on the network's grid and on the template's, and its sums by region."""
    entities = {
        **origin.entities,
        "model": explaining.model_label(card),
        "desc": request.label,
        "label": label_of(explanation.class_name),
    }
    sidecar = _relevance_sidecar(origin, card, request, explanation, warped)
    template_grid = {"space": grid.space.template, "res": str(grid.space.resolution)}
    network_grid = (
        {"space": card.space} if card.space == "T1w" else {**template_grid, "res": "input"}
    )
    native = {"Grid": "network input", "Resolution": resolution_text(explanation.relevance)}
    products = []
    for kind, volume, grid_entities, grid_sidecar in (
        ("native", explanation.relevance, network_grid, native),
        ("template", warped, template_grid, {"Resolution": resolution_text(warped)}),
    ):
        path = folder / f"{kind}_{request.label}_relmap.nii.gz"
        path.write_bytes(nifti_bytes(volume.data, volume.affine))
        names = {**entities, **grid_entities}
        products.append(Product(path.name, names, "relmap", ".nii.gz", {**sidecar, **grid_sidecar}))
    for atlas in grid.atlases:
        rows = explaining.region_rows(warped, atlas, request.name)
        names = {**entities, "atlas": atlas.name, "space": grid.space.template}
        path = folder / f"{atlas.name}_{request.label}_regions.tsv"
        products.append(_regions(path, names, rows))
    return products


def _relevance_sidecar(
    origin: Origin,
    card: ModelCard,
    request: Request,
    explanation: explaining.Explanation,
    warped: Volume,
) -> dict[str, Any]:
    """Where relevance starts and how much of it there is, before and after the warp."""
    whole = explanation.class_name == WHOLE
    index = 0 if whole else card.classes.index(explanation.class_name)
    return {
        "Sources": list(origin.sources),
        "Method": request.method,
        "Start": request.start if whole else f"{request.start} of {explanation.class_name}",
        "Options": options_record(request.method, index, **request.options),
        "SumBeforeWarp": explanation.total,
        "SumAfterWarp": float(warped.data.sum(dtype="float64")),
        "InnerMaskShare": explanation.inner_share,
        "SkullStripped": card.skull_strip,
        **({} if explanation.floor_share is None else {"FloorShare": explanation.floor_share}),
    }


def _regions(path: Path, entities: dict[str, str], rows: Sequence[RegionRow]) -> Product:
    """The table of an atlas, which is written to ``path``."""
    path.write_text(REGIONS_OF_SCAN.text(rows), encoding="utf-8")
    sidecar = column_descriptions(REGIONS_OF_SCAN.meanings())
    return Product(path.name, entities, "regions", ".tsv", sidecar)
