"""What the card of a network tells of its training."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from split_training import split_training

import bids_xai
from bids_xai.core.cohort.splits import split_hash
from bids_xai.group.train.card import model_card, training_metrics
from bids_xai.group.volumes import input_rule
from bids_xai.models.card import ModelCard
from bids_xai.studies.tables import Input
from bids_xai.tables.training import EpochRecord
from bids_xai.training.records import TrainingResult


def result(*accuracies: float, best: int) -> TrainingResult:
    values = dict.fromkeys(EpochRecord.__dataclass_fields__, 0.5) | {"seconds": 1.23456}
    history = tuple(
        EpochRecord(**values | {"epoch": k, "validation_balanced_accuracy": accuracy})  # type: ignore[arg-type]
        for k, accuracy in enumerate(accuracies, 1)
    )
    return TrainingResult(
        history=history,
        best_epoch=best,
        best_validation_loss=0.25,
        resumed_after=0,
        stopped_early=False,
        constant=False,
    )


def test_metrics_are_of_the_best_epoch_and_seconds_of_all() -> None:
    metrics = training_metrics(result(0.5, 0.75, math.nan, best=2))
    assert metrics == {
        "best_epoch": 2,
        "epochs": 3,
        "parts_of_batch": 1,
        "seconds": pytest.approx(3.704),
        "validation_loss": 0.25,
        "validation_balanced_accuracy": 0.75,
        "inner_mask_share": 0.5,
    }
    undefined = training_metrics(result(0.5, math.nan, best=2))
    assert undefined["validation_balanced_accuracy"] is None
    assert training_metrics(result(best=0)) == {"best_epoch": 0}


def test_everybody_the_weights_depend_on_is_listed(tmp_path: Path) -> None:
    training = split_training(tmp_path)
    rule = dataclasses.replace(input_rule(training.study.input, True, training.shape), voxel_mm=2.0)
    card = model_card(training, training.study, rule, result(0.5, best=1), ("09", "01"))
    assert card.training_participants == ("01", "02", "03", "09")
    assert card.split_hash == split_hash(training.members)
    assert (card.configuration, card.split, card.seed) == (training.configuration.id, 3, 2)
    assert (card.input_shape, card.voxel_mm, card.skull_strip) == ((8, 9, 10), (2.0,) * 3, True)
    assert card.classes == training.study.target.names
    assert card.versions["bids_xai"] == bids_xai.__version__


@pytest.mark.parametrize(("space", "expected"), [("T1w", "T1w"), ("template", "T")])
def test_the_space_of_the_maps_is_named(tmp_path: Path, space: str, expected: str) -> None:
    training = split_training(tmp_path)
    study = dataclasses.replace(training.study, input=Input(space=space))
    rule = input_rule(study.input, False, training.shape)
    assert model_card(training, study, rule, result(0.5, best=1)).space == expected


def test_the_training_scans_and_the_machine_are_described(tmp_path: Path) -> None:
    training = split_training(tmp_path)
    scans = []
    for number, scan in enumerate(training.scans):
        nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), np.float32), np.eye(4)), scan.map_file)
        sidecar = scan.map_file.with_name(f"{scan.map_file.name.removesuffix('.nii.gz')}.json")
        sidecar.write_text('{"MagneticFieldStrength": 3, "EchoTime": [0.005, 0.01]}')
        scans.append(dataclasses.replace(scan, quantiles=(10.0, 20.0 + number, 50.0)))
    training = dataclasses.replace(training, scans=tuple(scans))
    rule = input_rule(training.study.input, False, training.shape)
    machine = {"processor": "x", "threads": 2}
    card = model_card(training, training.study, rule, result(0.5, best=1), machine=machine)
    medians = [s.quantiles[1] for s in training.of_set("train") if s.quantiles]
    assert card.training_scans["n"] == len(medians)
    assert card.training_scans["field_strength_t"] == [3.0]
    assert card.training_scans["echo_times_s"] == [(0.005, 0.01)]
    assert card.training_scans["map"]["low"] == [10.0, min(medians), 50.0]
    assert card.training_scans["map"]["high"] == [10.0, max(medians), 50.0]
    assert card.machine == machine
    saved = dataclasses.replace(card, weights_sha256="0" * 64)
    assert ModelCard.from_json(saved.to_json()).training_scans["n"] == len(medians)
