"""Step ``spray``: spectral relevance analysis of every configuration in both spaces, and its audit.

Heatmaps are read one after the other into an array in the work folder, clustered, and every
cluster is tested against what is known of its scans. The input maps are clustered likewise, as a
control.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bids_xai.bids.files import remove_if_empty
from bids_xai.bids.stamps import STAMP
from bids_xai.core.spray.embedding import check_embedding
from bids_xai.group.context import LOG, GroupContext
from bids_xai.group.scans import known_scan
from bids_xai.group.spray.covariate_sources import CovariateSources
from bids_xai.group.spray.input_maps import InputSource
from bids_xai.group.spray.inputs import NETWORK, TEMPLATE, ConfigurationMaps, SprayInputs
from bids_xai.group.study_file import add_to_study
from bids_xai.group.units import Unit, Units
from bids_xai.runtime.device import choose_device
from bids_xai.runtime.progress import Progress
from bids_xai.tables.predictions import PREDICTIONS, Prediction
from bids_xai.tables.spray import read_summaries
from bids_xai.templates.grid import load_template_grid

if TYPE_CHECKING:
    from bids_xai.group.spray.compute import AnalysisResult


def run(context: GroupContext) -> list[Path]:
    """Write ``spray/``: a folder an analysis, and the verdicts of all of them.

    Nothing is done where heatmaps, covariates and options are those of the last run.
    """
    check_embedding(context.study.spray.embedding)
    inputs = read(context)
    folder = context.folder / "spray"
    work = context.settings.work_folder.resolve() / "group"
    units = Units(context.folder, Progress("analyses", inputs.n_analyses))
    unit = Unit(
        "clusters of heatmaps",
        folder / STAMP,
        inputs.files,
        inputs.plain_options,
        inputs.n_analyses,
        step="spray",
    )
    if not units.run(unit, lambda: _make(inputs, folder, work, units.progress)):
        LOG.info("spray: heatmaps and options have not changed")
    summaries = read_summaries(folder / "summary.json")
    plain = {name: summary.as_plain() for name, summary in summaries.items()}
    return [*units.outputs(unit), add_to_study(context.folder, spray=plain)]


def read(context: GroupContext) -> SprayInputs:
    """Return the heatmaps of the study's first method, and where all else lies.

    Raises ``NoInputError`` without the tables of earlier steps, ``BadDataError`` for heatmaps of
    another cohort or other splits than those of now.
    """
    study, settings = context.study, context.settings
    method = study.attribution.methods[0]
    predictions: dict[str, list[Prediction]] = {}
    for row in context.predictions():
        if row.method == method:
            predictions.setdefault(row.configuration, []).append(row)
    cohort, configurations = context.scans(), []
    for configuration in study.configurations:
        if not (rows := predictions.get(configuration.id)):
            continue
        scans = {scan.name: scan for scan in context.scans_of(configuration, cohort)}
        source = study.of(configuration).input
        models = context.model_folder(configuration.id, 0).parent
        configurations.append(
            ConfigurationMaps(
                configuration.id,
                tuple(rows),
                tuple(known_scan(context.folder, scans, row.scan) for row in rows),
                {
                    NETWORK: tuple(_below(context.folder, row.heatmap) for row in rows),
                    TEMPLATE: tuple(_below(context.folder, row.warped_heatmap) for row in rows),
                },
                InputSource(configuration.id, models, source.suffix, source.desc, context.template),
            )
        )
    scans_once = {scan.name: scan for maps in configurations for scan in maps.scans}
    return SprayInputs(
        study=study.name,
        target=study.target,
        method=method,
        options=study.spray,
        seed=settings.random_seed,
        device=settings.device,
        template=context.template,
        configurations=tuple(configurations),
        covariates=CovariateSources(
            settings.bids_dir, context.output_dir, study.target.column, tuple(scans_once.values())
        ),
        tables=(context.folder / PREDICTIONS.file,),
    )


def _below(folder: Path, path: Path | None) -> Path | None:
    return None if path is None else folder / path


def _make(inputs: SprayInputs, folder: Path, work: Path, progress: Progress | None) -> list[Path]:
    """Do and write all analyses, one after the other; return the files."""
    from bids_xai.group.spray.compute import compute
    from bids_xai.group.spray.write import SprayWriter

    work.mkdir(parents=True, exist_ok=True)
    writer = SprayWriter(folder, inputs.study, inputs.target, inputs.method)
    with tempfile.TemporaryDirectory(dir=work, prefix=f"{inputs.study}-spray-") as scratch:
        grid = load_template_grid(inputs.template) if inputs.template else None
        columns = inputs.covariates.columns()
        device = choose_device(inputs.device)
        for result in compute(inputs, columns, grid, device=device, scratch=Path(scratch)):
            _tell(result)
            writer.add(result)
            if progress is not None:
                progress.step()
    remove_if_empty(work, work.parent)
    return writer.finish(columns, [scan.name for scan in inputs.scans])


def _tell(result: AnalysisResult) -> None:
    """Say in the log what an analysis found."""
    for verdict in result.clusters.audit.suspicious:
        LOG.warning("spray %s: %s", result.heatmaps.name, verdict.text)
    for note in result.clusters.clustering.result.notes:
        LOG.info("spray %s: %s", result.heatmaps.name, note)
