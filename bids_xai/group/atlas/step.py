"""Step ``atlas``: relevance of every test scan by region, mean maps, and what follows from them.

Each map is read once, for all regions of all atlases and for the means; maps are never held
together. The tables that compare scans are made from the region sums, which are small.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

from bids_xai.bids.session_times import sessions_file
from bids_xai.bids.stamps import STAMP
from bids_xai.group.atlas.compute import compute
from bids_xai.group.atlas.inputs import AtlasFiles, PredictionFiles, ScanFiles, load
from bids_xai.group.atlas.output import MeanMapFolder, write
from bids_xai.group.atlas.parts import in_order
from bids_xai.group.atlas.volume_table import USER_VOLUMES
from bids_xai.group.context import LOG, GroupContext, Scan
from bids_xai.group.maps import input_space, lesion_mask
from bids_xai.group.units import Unit, Units
from bids_xai.tables.predictions import PREDICTIONS, Prediction
from bids_xai.templates.grid import load_template_grid
from bids_xai.templates.lookup import atlas_files


def run(context: GroupContext) -> list[Path]:
    """Write the tables of ``atlas/`` and ``means/``; nothing is done while they are up to date."""
    files = read(context)
    if not context.template:
        LOG.warning("no template: no region tables and no mean maps")
        return []
    study, settings, folder = context.study, context.settings, context.folder
    methods = study.attribution.methods
    unit = Unit(
        "atlas",
        folder / "atlas" / STAMP,
        (folder / PREDICTIONS.file, *files.files, *atlas_files(settings.atlas)),
        {
            "template": context.template,
            "atlas": list(settings.atlas),
            "target": dataclasses.asdict(study.target),
            "configurations": [configuration.id for configuration in study.configurations],
            "methods": methods,
            "seed": files.seed,
        },
        step="atlas",
    )
    units = Units(folder)
    units.run(unit, lambda: _make(files, context.template, settings.atlas, folder, methods[0]))
    return units.outputs(unit)


def read(context: GroupContext) -> AtlasFiles:
    """Return the predictions that have a heatmap, in order, and the files behind them.

    Raises :class:`NoInputError` where an earlier step or the participant level is missing.
    """
    study, settings, folder = context.study, context.settings, context.folder
    predictions = context.predictions()
    predictions = in_order(
        (prediction for prediction in predictions if prediction.warped_heatmap is not None),
        [configuration.id for configuration in study.configurations],
        study.attribution.methods,
    )
    used = {prediction.configuration for prediction in predictions}
    included = context.scans() if predictions else []
    scans: dict[str, dict[str, ScanFiles]] = {}
    for configuration in study.configurations:
        if configuration.id in used:
            space = input_space(study.of(configuration).input, context.template)
            scans[configuration.id] = {
                scan.name: _scan_files(scan, lesion_mask(scan, space))
                for scan in context.scans_of(configuration, included)
            }
    participants = dict.fromkeys(prediction.participant_id for prediction in predictions)
    sessions = {name: sessions_file(settings.bids_dir, name) for name in participants}
    return AtlasFiles(
        tuple(_prediction_files(predictions, scans, folder)),
        study.target,
        dict(settings.derivatives).get(USER_VOLUMES),
        {name: file for name, file in sessions.items() if file.is_file()},
        settings.random_seed,
    )


def _scan_files(scan: Scan, lesions: Path | None) -> ScanFiles:
    images = sorted(scan.map_file.parent.glob("*_space-T1w_atlas-*_dseg.nii.gz"))
    return ScanFiles(scan.name, tuple(images), lesions)


def _prediction_files(
    predictions: Iterable[Prediction], scans: Mapping[str, Mapping[str, ScanFiles]], folder: Path
) -> Iterable[PredictionFiles]:
    """Predictions with their files; scans : configuration → name → files of the scan."""
    for prediction in predictions:
        if prediction.warped_heatmap is not None:
            yield PredictionFiles(
                prediction,
                folder / prediction.warped_heatmap,
                None if prediction.heatmap is None else folder / prediction.heatmap,
                scans.get(prediction.configuration, {}).get(prediction.scan),
            )


def _make(
    files: AtlasFiles, template: str, atlases: Iterable[str], folder: Path, first_method: str
) -> list[Path]:
    """Do all the work and return the files written; without an atlas the mean maps alone."""
    grid = load_template_grid(template, tuple(atlases))
    means = MeanMapFolder(folder / "means", grid, first_method)
    tables = compute(load(files, grid), means)
    if not grid.atlases:
        LOG.warning("no atlas for %s: no region tables", template)
        return means.files
    return [*means.files, *write(tables, folder / "atlas")]
