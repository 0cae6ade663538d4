"""What the step ``trust`` reads: the heatmaps of a study and what belongs to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bids_xai.attribution.request import Request
from bids_xai.group.context import GroupContext, Scan
from bids_xai.group.scans import known_scan
from bids_xai.group.trust.heatmaps import (
    ExplainedSplit,
    explained_splits,
    explains_its_prediction,
    sampled,
)
from bids_xai.group.trust.truth import truth_folder
from bids_xai.studies.tables import Attribution, Quality, Target
from bids_xai.tables.predictions import Prediction
from bids_xai.templates.grid import TemplateGrid, load_template_grid


@dataclass(frozen=True)
class CheckedNetwork:
    """A trained network and the scans that its heatmaps are checked on.

    model_folder : of the network
    split : all scans that it explained; perturbed, randomised : samples of them, for the curves,
        and for the heatmaps with random weights and the sums layer by layer
    scans : those of its configuration, by name
    template : that its heatmaps lie in, empty for T1w space
    """

    model_folder: Path
    split: ExplainedSplit
    perturbed: ExplainedSplit
    randomised: ExplainedSplit
    scans: Mapping[str, Scan]
    template: str

    @property
    def name(self) -> str:
        """The network in words."""
        return f"{self.split.configuration}, split {self.split.split}"


@dataclass(frozen=True)
class TrustInputs:
    """All that the checks need.

    study_folder : that heatmaps are given relative to; predictions : those with a heatmap
    requests : how heatmaps were made, by the method of a prediction
    template : empty where there is none; truth : folder of the true regions, where there is one
    device : as ``--device`` takes it; n_threads : of the networks
    """

    study_folder: Path
    predictions: tuple[Prediction, ...]
    networks: tuple[CheckedNetwork, ...]
    requests: Mapping[str, Request]
    target: Target
    quality: Quality
    attribution: Attribution
    seed: int
    template: str
    truth: Path | None
    device: str
    n_threads: int = 1

    @cached_property
    def grid(self) -> TemplateGrid | None:
        """The grid of the template, for its atlas; loaded where a check needs it.

        Raises as :func:`load_template_grid`.
        """
        return load_template_grid(self.template) if self.template else None


def read(context: GroupContext) -> TrustInputs:
    """Read the predictions of a study, and choose the scans of every check.

    Raises :class:`NoInputError` where the heatmaps are not made yet or the folder of true regions
    is not there, :class:`BadDataError` for a heatmap of a scan that left the cohort.
    """
    predictions = [row for row in context.predictions() if row.heatmap is not None]
    study, settings = context.study, context.settings
    every_scan = context.scans()
    networks: list[CheckedNetwork] = []
    for configuration, rows in _by_configuration(predictions).items():
        (table,) = (entry for entry in study.configurations if entry.id == configuration)
        scans = {scan.name: scan for scan in context.scans_of(table, every_scan)}
        for row in rows:
            known_scan(context.folder, scans, row.scan)
        splits = explained_splits(rows)
        samples = _samples(splits, study.quality, settings.random_seed)
        in_template = study.of(table).input.space == "template"
        networks += [
            CheckedNetwork(
                model_folder=context.model_folder(configuration, split.split),
                split=split,
                perturbed=perturbed,
                randomised=randomised,
                scans=scans,
                template=context.template if in_template else "",
            )
            for split, perturbed, randomised in zip(splits, *samples, strict=True)
        ]
    return TrustInputs(
        study_folder=context.folder,
        predictions=tuple(predictions),
        networks=tuple(networks),
        requests={request.name: request for request in context.requests()},
        target=study.target,
        quality=study.quality,
        attribution=study.attribution,
        seed=settings.random_seed,
        template=context.template,
        truth=truth_folder(dict(settings.derivatives)),
        device=settings.device,
        n_threads=settings.training_threads,
    )


def _by_configuration(predictions: Iterable[Prediction]) -> dict[str, list[Prediction]]:
    configurations: dict[str, list[Prediction]] = {}
    for prediction in predictions:
        configurations.setdefault(prediction.configuration, []).append(prediction)
    return configurations


def _samples(
    splits: list[ExplainedSplit], quality: Quality, seed: int
) -> tuple[list[ExplainedSplit], list[ExplainedSplit]]:
    """Of every split the scans that are perturbed, and those explained with random weights."""
    perturbed = sampled(splits, quality.scans, seed, explains_its_prediction)
    randomised = sampled(splits, quality.randomization_scans, seed)
    return _aligned(perturbed, splits), _aligned(randomised, splits)


def _aligned(
    sample: Iterable[ExplainedSplit], splits: Iterable[ExplainedSplit]
) -> list[ExplainedSplit]:
    """The part of the sample in each split, without any scan where there is none."""
    parts = {part.split: part for part in sample}
    return [parts.get(split.split, split.of(())) for split in splits]
