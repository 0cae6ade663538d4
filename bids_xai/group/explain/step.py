"""Step ``explain``: every test scan of every split and configuration, one at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import bids_xai
from bids_xai.attribution.request import Request
from bids_xai.bids.stamps import STAMP
from bids_xai.errors import NoInputError
from bids_xai.group.baselines.step import as_prediction, current_predictions
from bids_xai.group.baselines.step import read as read_baselines
from bids_xai.group.context import LOG, GroupContext
from bids_xai.group.explain.heatmaps import HeatmapOptions, TrainedNetwork, heatmaps, write_heatmap
from bids_xai.group.explain.performance import (
    TrainingLength,
    performance_tables,
    training_length,
    write_performance,
)
from bids_xai.group.lineage import MODEL_KEY, check_model, check_stamp
from bids_xai.group.outcomes import probability_classes, test_scans
from bids_xai.group.scans import Scan
from bids_xai.group.study_file import add_to_study, is_in_study
from bids_xai.group.train.inputs import SplitTraining
from bids_xai.group.train.step import read as read_trainings
from bids_xai.group.units import Unit, Units
from bids_xai.models.card import WEIGHTS, load_model, model_files
from bids_xai.runtime.device import check_device, choose_device
from bids_xai.runtime.digests import sha256_of
from bids_xai.runtime.progress import Progress
from bids_xai.settings import RELEVANCE_RESOLUTION, OutputSpace
from bids_xai.stages.network_grid import InputRule
from bids_xai.studies.tables import Target
from bids_xai.tables.predictions import PREDICTIONS, BaselinePrediction, Prediction
from bids_xai.templates.grid import TemplateGrid, load_template_grid

_OF_STUDY = ("resolution", "atlas")
"""Keys of ``study.json`` that the step writes, with the version of torch."""


@dataclass(frozen=True)
class SplitExplanation:
    """The heatmaps of a test set.

    scans : of the test set; model_folder : of the network; folder : where heatmaps go
    options : what else than files they depend on
    """

    configuration: str
    split: int
    scans: tuple[Scan, ...]
    model_folder: Path
    folder: Path
    options: Mapping[str, Any]

    @property
    def title(self) -> str:
        """``A, split 0``."""
        return f"{self.configuration}, split {self.split}"

    @property
    def table(self) -> Path:
        """Lines of ``predictions.tsv`` about this test set."""
        return self.folder / PREDICTIONS.file

    def unit(self, n_requests: int) -> Unit:
        """Return the heatmaps as a unit of work; n_requests : heatmaps a scan."""
        files = [
            file
            for scan in self.scans
            for file in (scan.map_file, scan.mask_file, scan.to_template)
            if file is not None
        ]
        return Unit(
            f"heatmaps of {self.title}",
            self.folder / STAMP,
            (*files, *model_files(self.model_folder)),
            {**self.options, "classes": {scan.name: scan.class_name for scan in self.scans}},
            n_items=len(self.scans) * n_requests,
            step="explain",
            provenance={MODEL_KEY: sha256_of(self.model_folder / WEIGHTS)},
        )


@dataclass(frozen=True)
class ExplainInputs:
    """What the step works on.

    splits : the test sets with a trained network; baselines : predictions that are up to date
    requests : one heatmap each of every scan; target : the classes of the study
    template : that heatmaps are warped to, empty where there is none
    device : as ``--device`` takes it; n_threads : of the networks
    renormalise : keep the sum of relevance in the warp
    names : configurations and baselines in the order of the study
    lengths : (configuration, split) → length of its training
    folder : of the study's results
    """

    splits: tuple[SplitExplanation, ...]
    requests: tuple[Request, ...]
    target: Target
    template: str
    device: str
    renormalise: bool
    n_threads: int
    baselines: tuple[BaselinePrediction, ...]
    names: tuple[str, ...]
    lengths: Mapping[tuple[str, int], TrainingLength]
    folder: Path

    @cached_property
    def options(self) -> HeatmapOptions:
        """How heatmaps are made, where some are to be: with the template loaded.

        Raises as :func:`load_template_grid` and :func:`choose_device`.
        """
        return HeatmapOptions(
            requests=self.requests,
            target=self.target,
            grid=load_template_grid(self.template) if self.template else None,
            device=choose_device(self.device),
            renormalise=self.renormalise,
        )


def run(context: GroupContext) -> list[Path]:
    """Explain what is not up to date; write heatmaps, predictions, performance, comparisons."""
    inputs = read(context)
    folder, target = inputs.folder, inputs.target
    units = [(split, split.unit(len(inputs.requests))) for split in inputs.splits]
    progress = Progress("heatmaps", int(sum(unit.n_items for _, unit in units)))
    explained = Units(folder, progress)
    if not explained.keep([unit for _, unit in units]):
        _write_study(folder, inputs.options.grid)  # first: an interrupted run has said it, too
        for split, unit in units:
            explained.run(unit, partial(_explain_and_write, split, inputs, progress))
    elif not is_in_study(folder, *_OF_STUDY):
        _write_study(folder, inputs.options.grid)
    predictions = [row for split, _ in units for row in PREDICTIONS.read(split.table)]
    rows = [*predictions, *map(as_prediction, inputs.baselines)]
    first = inputs.requests[0].name
    tables = performance_tables(
        [*(row for row in predictions if row.method == first), *inputs.baselines],
        target,
        inputs.names,
        inputs.lengths,
    )
    return [
        *write_predictions(folder / PREDICTIONS.file, rows, target),
        *write_performance(folder, tables),
    ]


def read(context: GroupContext) -> ExplainInputs:
    """Return the test sets that have a trained network, and what baselines say of theirs.

    Raises :class:`NoInputError` where no network is trained or a table is missing, and
    :class:`BadDataError` for a table or map that cannot be used.
    """
    study, settings = context.study, context.settings
    every, members_of_splits = context.scans(), context.splits()
    space = OutputSpace(context.template, RELEVANCE_RESOLUTION) if context.template else None
    unit_options = {
        "attribution": study.as_plain()["attribution"],
        "renormalise": settings.renormalise,
        "template": str(space),
    }
    splits: list[SplitExplanation] = []
    for configuration in study.configurations:
        scans: list[Scan] = []
        for split, members in enumerate(members_of_splits):
            model_folder = context.model_folder(configuration.id, split)
            if not (model_folder / "model.json").is_file():
                continue
            scans = scans or context.scans_of(configuration, every)
            tested = tuple(test_scans(scans, members, study.splits.test_baseline_only))
            check_model(model_folder, members, tested, study.target)
            splits.append(
                SplitExplanation(
                    configuration=configuration.id,
                    split=split,
                    scans=tested,
                    model_folder=model_folder,
                    folder=context.relevance_folder(configuration.id, split),
                    options=unit_options,
                )
            )
    if not splits:
        raise NoInputError(
            "no trained model", file=context.models_folder, fix="run --steps train first"
        )
    trained = context.of_configurations(*{part.configuration: None for part in splits})
    _check_trainings(read_trainings(trained), splits)
    check_device(settings.device)
    return ExplainInputs(
        splits=tuple(splits),
        requests=tuple(context.requests()),
        target=study.target,
        template=context.template,
        device=settings.device,
        renormalise=settings.renormalise,
        n_threads=settings.training_threads,
        baselines=tuple(current_predictions(read_baselines(context))),
        names=(
            *(configuration.id for configuration in study.configurations),
            *(baseline.id for baseline in study.baselines),
        ),
        lengths={
            (part.configuration, part.split): training_length(part.model_folder) for part in splits
        },
        folder=context.folder,
    )


def _check_trainings(
    trainings: Iterable[SplitTraining], splits: Iterable[SplitExplanation]
) -> None:
    """Raise :class:`BadDataError` where the study would train one of the networks anew."""
    asked = {(part.configuration, part.split) for part in splits}
    for training in trainings:
        if (training.configuration.id, training.split) in asked:
            unit = training.unit()
            check_stamp(unit.title, unit.stamp, unit.digest)


def _explain_and_write(
    part: SplitExplanation, inputs: ExplainInputs, progress: Progress
) -> list[Path]:
    """Make and write the heatmaps of a test set one by one; return all files written."""
    import torch

    torch.set_num_threads(inputs.n_threads)
    options = inputs.options
    model, card = load_model(part.model_folder)
    rule = InputRule.of_model(card, part.model_folder)
    network = TrainedNetwork(part.configuration, part.split, model, card, rule)
    LOG.info(
        "explaining %d test scans of %s, split %d, on %s",
        len(part.scans),
        part.configuration,
        part.split,
        options.device,
    )
    LOG.debug("by %s", ", ".join(request.name for request in options.requests))
    rows: list[Prediction] = []
    written: list[Path] = []
    for heatmap in heatmaps(network, part.scans, options):
        row, files = write_heatmap(heatmap, card, part.folder, inputs.folder, options.template)
        rows.append(row)
        written += files
        progress.step()
    return [*written, *write_predictions(part.table, rows, options.target)]


def write_predictions(file: Path, rows: Iterable[Prediction], target: Target) -> list[Path]:
    """Write a table of predictions; return it and its JSON."""
    return PREDICTIONS.write(file, rows, more=probability_classes(target))


def _write_study(folder: Path, grid: TemplateGrid | None) -> None:
    """Tell later steps and the page what the heatmaps lie on, and what made them."""
    import torch

    add_to_study(
        folder,
        resolution=grid.space.resolution if grid else None,
        atlas=grid.atlas.name if grid and grid.atlas else None,
        versions={"bids_xai": bids_xai.__version__, "torch": torch.__version__},
    )
