"""Step ``explain``: every test scan of every split and configuration, one at a time."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

import bids_xai
from bids_xai.bids.files import write_json, write_nifti
from bids_xai.bids.names import label_of
from bids_xai.bids.stamps import fingerprint, is_current, write_stamp
from bids_xai.errors import NoInputError
from bids_xai.group.context import (
    LOG,
    GroupContext,
    Scan,
    load_scans,
    load_splits,
    read_rows,
    write_table,
)
from bids_xai.group.performance import write_performance
from bids_xai.interfaces import explain as explaining
from bids_xai.models.card import load_model
from bids_xai.settings import RELEVANCE_RESOLUTION

PREDICTION_COLUMNS = {
    "participant_id": "Participant",
    "session_id": "Session, n/a where the dataset has none",
    "configuration": "Configuration of the study",
    "split": "Number of the split, from 0",
    "method": "Attribution method",
    "set": "Set of the split the scan is in",
    "true_class": "Class of the participant",
    "predicted_class": "Class with the highest probability",
    "probability": "Softmax output of the positive class",
    "outcome": "TP, FP, TN or FN",
    "relevance_sum": "Sum of the relevance map on the network's grid, before any warp",
    "warped_sum": "Sum of the relevance map on the template grid",
    "inner_mask_share": "Share of relevance inside the brain mask",
    "relevance": "Relevance map on the network's grid, relative to the study's folder",
    "warped": "Relevance map on the template grid, relative to the study's folder",
}


def run(context: GroupContext) -> list[Path]:
    """Explain what is not up to date; write heatmaps, predictions, performance, comparisons."""
    scans, splits = load_scans(context), load_splits(context)
    torch.set_num_threads(context.settings.training_threads)
    grid = explaining.load_template_grid(context.template)
    rows: list[dict[str, Any]] = []
    for configuration in context.study.configurations:
        for split, members in enumerate(splits):
            folder = context.model_folder(configuration.id, split)
            if not (folder / "model.json").is_file():
                continue
            test = [scan for scan in scans if members[scan.participant] == "test"]
            rows += _explain_split(context, configuration.id, split, test, grid)
    if not rows:
        raise NoInputError(
            "no trained model", file=context.output_dir / "models", fix="run --steps train first"
        )
    _write_study_json(context, grid)
    table = write_table(context.folder / "predictions.tsv", rows, PREDICTION_COLUMNS)
    return [*table, *write_performance(context, rows)]


def _explain_split(
    context: GroupContext,
    configuration: str,
    split: int,
    scans: list[Scan],
    grid: explaining.TemplateGrid,
) -> list[dict[str, Any]]:
    """Return one row a test scan and method; heatmaps that are up to date are not made again."""
    model_folder = context.model_folder(configuration, split)
    out = context.relevance_folder(configuration, split)
    stamp, table = out / "stamp.json", out / "predictions.tsv"
    files = [f for scan in scans for f in (scan.map_file, scan.mask_file, scan.to_template)]
    digest = fingerprint(
        [*files, model_folder / "model.safetensors"],
        {"methods": context.study.attribution.methods, "version": bids_xai.__version__,
         "classes": {s.name: s.class_name for s in scans}, "template": str(grid.space)},
    )  # fmt: skip
    if is_current(stamp, digest, context.folder):
        return list(read_rows(table, "explain"))
    model, card = load_model(model_folder)
    device = explaining.choose_device(context.settings.device)
    LOG.info("explaining %d test scans of %s, split %d", len(scans), configuration, split)
    rows: list[dict[str, Any]] = []
    written: list[Path] = []
    for scan in scans:
        for method in context.study.attribution.methods:
            found = explaining.explain_scan(
                model, card, scan.map_file, scan.mask_file, method=method, device=device
            )
            warped = explaining.warp_relevance(found.relevance, grid, scan.to_template)
            names = _heatmap_files(context, out, scan, explaining.model_label(card), method)
            row = _row(context, configuration, split, scan, method, found)
            row["warped_sum"] = float(warped.data.sum(dtype="float64"))
            for key, path, volume in (
                ("relevance", names[0], found.relevance), ("warped", names[1], warped),
            ):  # fmt: skip
                written.append(write_nifti(path, volume.data, volume.affine))
                sidecar = path.with_name(path.name.replace(".nii.gz", ".json"))
                written.append(write_json(sidecar, _sidecar(row, method, key)))
                row[key] = str(path.relative_to(context.folder))
            rows.append(row)
    written += write_table(table, rows, PREDICTION_COLUMNS)
    write_stamp(stamp, digest, context.folder, written)
    return list(read_rows(table, "explain"))


def _heatmap_files(
    context: GroupContext, folder: Path, scan: Scan, model: str, method: str
) -> tuple[Path, Path]:
    tail = f"model-{model}_label-{explaining.start_label(method, None)}_desc-{label_of(method)}"
    space = f"space-{context.template}_res-{RELEVANCE_RESOLUTION}"
    return (
        folder / f"{scan.name}_space-{context.study.input.space}_{tail}_relmap.nii.gz",
        folder / f"{scan.name}_{space}_{tail}_relmap.nii.gz",
    )


def _row(
    context: GroupContext,
    configuration: str,
    split: int,
    scan: Scan,
    method: str,
    found: explaining.Explanation,
) -> dict[str, Any]:
    target = context.study.target
    truth = scan.class_name == target.positive
    predicted = bool(found.probabilities[1] >= 0.5)
    return {
        **scan.row,
        "configuration": configuration,
        "split": split,
        "method": method,
        "set": "test",
        "true_class": scan.class_name,
        "predicted_class": target.positive if predicted else target.negative,
        "probability": float(found.probabilities[1]),
        "outcome": ("T" if truth == predicted else "F") + ("P" if predicted else "N"),
        "relevance_sum": found.total,
        "inner_mask_share": found.inner_share,
    }


def _sidecar(row: dict[str, Any], method: str, kind: str) -> dict[str, Any]:
    return {
        "Method": method,
        "Start": "softmax",
        "Configuration": row["configuration"],
        "Split": row["split"],
        "Grid": "network input" if kind == "relevance" else "template",
        "SumBeforeWarp": row["relevance_sum"],
        "SumAfterWarp": row["warped_sum"],
        "InnerMaskShare": row["inner_mask_share"],
    }


def _write_study_json(context: GroupContext, grid: explaining.TemplateGrid) -> None:
    study = context.study
    write_json(
        context.folder / "study.json",
        {
            "study": study.name,
            "template": context.template,
            "resolution": grid.space.resolution,
            "atlas": grid.atlas.name if grid.atlas else None,
            "classes": [study.target.negative, study.target.positive],
            "method": study.attribution.methods[0],
            "configurations": [asdict(c) for c in study.configurations],
            "seed": context.settings.random_seed,
            "versions": {"bids_xai": bids_xai.__version__, "torch": torch.__version__},
            "settings": study.as_plain(),
        },
    )
