"""The card of a trained network: what one must know to use it, and how its training went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

import bids_xai
from bids_xai.core.cohort.splits import split_hash
from bids_xai.group.train.inputs import SplitTraining
from bids_xai.models.card import ModelCard
from bids_xai.models.training_scans import summary_of
from bids_xai.stages.network_grid import InputRule
from bids_xai.stages.scan_facts import facts_of
from bids_xai.studies.tables import Study
from bids_xai.training.records import TrainingResult

_PACKAGES = ("torch", "numpy", "zennit")


def model_card(
    training: SplitTraining,
    study: Study,
    rule: InputRule,
    result: TrainingResult,
    seen_before: Iterable[str] = (),
    machine: Mapping[str, Any] = MappingProxyType({}),
) -> ModelCard:
    """Return the card of a network.

    machine : what it was trained on (``runtime.device.machine_of``)
    study : that of the training, or the draw of a search; rule : how maps became its input
    seen_before : labels of the participants that the weights it started from have seen
    """
    scans = [scan for name in ("train", "validation") for scan in training.of_set(name)]
    seen = {scan.participant for scan in scans}
    in_t1w = study.input.space == "T1w"
    return ModelCard(
        architecture=study.model.architecture,
        options=dict(study.model.options),
        input_shape=training.shape,
        voxel_mm=(rule.voxel_mm,) * 3 if rule.voxel_mm else None,
        suffix=study.input.suffix,
        space=study.input.space if in_t1w else training.template,
        scaling=rule.scaling,
        scale=rule.scale,
        maximum=rule.maximum,
        skull_strip=rule.skull_strip,
        classes=study.target.names,
        positive=study.target.positive_name,
        seed=training.seed,
        study=study.name,
        configuration=training.configuration.id,
        split=training.split,
        split_hash=split_hash(training.members),
        training_participants=tuple(sorted(seen | set(seen_before))),
        relevance_guided=training.configuration.relevance_guided,
        metrics=training_metrics(result),
        versions={"bids_xai": bids_xai.__version__}
        | {package: version(package) for package in _PACKAGES},
        training_scans=summary_of(
            [
                facts_of(scan.map_file, scan.quantiles)
                for scan in training.of_set("train")
                if scan.quantiles is not None
            ]
        ),
        machine=dict(machine),
    )


def training_metrics(result: TrainingResult) -> dict[str, float | None]:
    """Return what the card tells of a training; ``None`` for what is not defined.

    Seconds are of all epochs; the rest is of the best one.
    """
    if not result.best_epoch:
        return {"best_epoch": 0}
    best = result.history[result.best_epoch - 1]
    metrics: dict[str, float | None] = {
        "best_epoch": result.best_epoch,
        "epochs": len(result.history),
        "parts_of_batch": result.parts,
        "seconds": round(sum(record.seconds for record in result.history), 3),
        "validation_loss": result.best_validation_loss,
        "validation_balanced_accuracy": best.validation_balanced_accuracy,
        "inner_mask_share": best.inner_mask_share,
    }
    return {key: value if value == value else None for key, value in metrics.items()}
