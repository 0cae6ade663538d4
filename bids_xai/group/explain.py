"""Step ``explain``: every test scan of every split and configuration, one at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import bids_xai
from bids_xai.attribution import options_record
from bids_xai.attribution.request import WHOLE, Request, requests_of
from bids_xai.bids.files import write_json, write_nifti
from bids_xai.bids.images import Volume
from bids_xai.bids.names import label_of
from bids_xai.bids.stamps import fingerprint, is_current, write_stamp
from bids_xai.errors import NoInputError
from bids_xai.group.baselines import baseline_rows
from bids_xai.group.context import (
    LOG,
    GroupContext,
    Scan,
    load_scans,
    load_splits,
    read_rows,
    write_table,
)
from bids_xai.group.maps import scans_of
from bids_xai.group.outcomes import prediction_row, probability_columns, test_scans
from bids_xai.group.performance import write_performance
from bids_xai.group.study_file import add_to_study
from bids_xai.models.card import ModelCard, load_model
from bids_xai.runtime.device import choose_device
from bids_xai.runtime.progress import Progress
from bids_xai.settings import RELEVANCE_RESOLUTION
from bids_xai.stages import explain as explaining
from bids_xai.stages.network_grid import InputRule
from bids_xai.studies.tables import Configuration
from bids_xai.templates.grid import TemplateGrid, load_template_grid

PREDICTION_COLUMNS = {
    "participant_id": "Participant",
    "session_id": "Session, n/a where the dataset has none",
    "configuration": "Configuration or baseline of the study",
    "split": "Number of the split, from 0",
    "method": "Attribution method, or the study's name of a variant; n/a for a baseline",
    "relevance_class": "Class explained, all for the full softmax vector",
    "set": "Set of the split the scan is in",
    "true_class": "Class of the participant",
    "predicted_class": "Class with the highest probability",
    "probability": "Probability of the positive class",
    "outcome": "TP, FP, TN or FN",
    "relevance_sum": "Sum of the relevance map on the network's grid, before any warp",
    "warped_sum": "Sum of the relevance map on the template grid",
    "inner_mask_share": "Share of relevance inside the brain mask",
    "relevance": "Relevance map on the network's grid, relative to the study's folder",
    "warped": "Relevance map on the template grid, relative to the study's folder",
}


_Test = tuple[Configuration, int, list[Scan]]
"""A configuration, the number of a split, and its test scans."""


def run(context: GroupContext) -> list[Path]:
    """Explain what is not up to date; write heatmaps, predictions, performance, comparisons."""
    every, splits = load_scans(context), load_splits(context)
    torch.set_num_threads(context.settings.training_threads)
    grid = load_template_grid(context.template) if context.template else None
    tests: list[_Test] = []
    for configuration in context.study.configurations:
        scans: list[Scan] = []
        for split, members in enumerate(splits):
            if not (context.model_folder(configuration.id, split) / "model.json").is_file():
                continue
            scans = scans or scans_of(context, configuration, every)
            tests.append((configuration, split, test_scans(context, scans, members)))
    if not tests:
        raise NoInputError(
            "no trained model", file=context.output_dir / "models", fix="run --steps train first"
        )
    n_maps = sum(len(scans) for _, _, scans in tests) * len(requests(context))
    watch = Progress("heatmaps", n_maps)
    rows = [row for test in tests for row in _explain_split(context, *test, grid, watch)]
    rows += baseline_rows(context)
    add_to_study(
        context,
        resolution=grid.space.resolution if grid else None,
        atlas=grid.atlas.name if grid and grid.atlas else None,
        versions={"bids_xai": bids_xai.__version__, "torch": torch.__version__},
    )
    columns = PREDICTION_COLUMNS | probability_columns(context)
    table = write_table(context.folder / "predictions.tsv", rows, columns)
    return [*table, *write_performance(context, rows)]


def requests(context: GroupContext) -> list[Request]:
    """The ways to explain that the study names."""
    attribution = context.study.attribution
    return requests_of(attribution.methods, attribution.options, attribution.target)


def _explain_split(
    context: GroupContext,
    configuration: Configuration,
    split: int,
    scans: list[Scan],
    grid: TemplateGrid | None,
    watch: Progress,
) -> list[dict[str, Any]]:
    """Return one row a test scan and method; heatmaps that are up to date are not made again."""
    model_folder = context.model_folder(configuration.id, split)
    out = context.relevance_folder(configuration.id, split)
    stamp, table = out / "stamp.json", out / "predictions.tsv"
    files = [f for s in scans for f in (s.map_file, s.mask_file, s.to_template) if f is not None]
    attribution = context.study.as_plain()["attribution"]
    digest = fingerprint(
        [*files, model_folder / "model.safetensors"],
        {
            "attribution": attribution,
            "version": bids_xai.__version__,
            "renormalise": context.settings.renormalise,
            "classes": {s.name: s.class_name for s in scans},
            "template": str(grid and grid.space),
        },
    )
    ways = requests(context)
    if is_current(stamp, digest, context.folder):
        watch.skip(len(scans) * len(ways))
        return list(read_rows(table, "explain"))
    model, card = load_model(model_folder)
    rule = InputRule.of_model(card, model_folder)
    device = choose_device(context.settings.device)
    for way in ways:
        way.check(card.classes)
    LOG.info(
        "explaining %d test scans of %s, split %d, on %s",
        len(scans),
        configuration.id,
        split,
        device,
    )
    LOG.debug("by %s", ", ".join(way.name for way in ways))
    rows: list[dict[str, Any]] = []
    written: list[Path] = []
    for scan in scans:
        opened = explaining.open_scan(model, card, rule, scan.map_file, scan.mask_file, device)
        labels = labels_over(scan, grid)
        about = prediction_row(context, configuration.id, split, scan, opened.probabilities)
        for way in ways:
            found = explaining.explain_scan(
                model, card, opened, way, device=device, true_class=scan.class_name, labels=labels
            )
            more, files = _write_heatmap(context, out, scan, card, way, found, grid)
            rows.append({**about, "method": way.name, **more})
            written += files
            watch.step()
    written += write_table(table, rows, PREDICTION_COLUMNS | probability_columns(context))
    write_stamp(stamp, digest, context.folder, written)
    return list(read_rows(table, "explain"))


def labels_over(scan: Scan, grid: TemplateGrid | None) -> Path | Volume | None:
    """The first atlas over a scan: on its T1w grid, or that of the template it lies in."""
    if scan.to_template is None:
        return grid.atlas.volume if grid and grid.atlas else None
    found = sorted(scan.map_file.parent.glob("*_space-T1w_atlas-*_dseg.nii.gz"))
    return found[0] if found else None


def _write_heatmap(
    context: GroupContext,
    folder: Path,
    scan: Scan,
    card: ModelCard,
    way: Request,
    found: explaining.Explanation,
    grid: TemplateGrid | None,
) -> tuple[dict[str, Any], list[Path]]:
    """Write a heatmap on the network's and the template's grid; return its columns and files."""
    row: dict[str, Any] = {
        "relevance_class": found.class_name,
        "relevance_sum": found.total,
        "inner_mask_share": found.inner_share,
    }
    maps = {"relevance": (card.space, found.relevance)}
    if grid is not None:
        warped = explaining.warp_relevance(
            found.relevance, grid, scan.to_template, renormalise=context.settings.renormalise
        )
        row["warped_sum"] = float(warped.data.sum(dtype="float64"))
        maps["warped"] = (f"{grid.space.template}_res-{RELEVANCE_RESOLUTION}", warped)
    model, label = explaining.model_label(card), label_of(found.class_name)
    written: list[Path] = []
    for key, (space, volume) in maps.items():
        tail = f"model-{model}_label-{label}_desc-{way.label}_relmap"
        path = folder / f"{scan.name}_space-{space}_{tail}.nii.gz"
        written.append(write_nifti(path, volume.data, volume.affine))
        sidecar = path.with_name(f"{path.name.removesuffix('.nii.gz')}.json")
        written.append(write_json(sidecar, _sidecar(row, way, key, card)))
        row[key] = str(path.relative_to(context.folder))
    return row, written


def _sidecar(row: dict[str, Any], way: Request, kind: str, card: ModelCard) -> dict[str, Any]:
    index = 0 if row["relevance_class"] == WHOLE else card.classes.index(row["relevance_class"])
    return {
        "Method": way.method,
        "Start": way.start,
        "Class": row["relevance_class"],
        "Options": options_record(way.method, index, **way.options),
        "Configuration": card.configuration,
        "Split": card.split,
        "Grid": "network input" if kind == "relevance" else "template",
        "SumBeforeWarp": row["relevance_sum"],
        "SumAfterWarp": row.get("warped_sum"),
        "InnerMaskShare": row["inner_mask_share"],
    }
