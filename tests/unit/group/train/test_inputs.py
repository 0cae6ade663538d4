"""What a trained model depends on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from split_training import SETS, split_training

from bids_xai.studies.tables import Transfer


def test_scans_are_those_of_a_set_and_weights_differ_by_split(tmp_path: Path) -> None:
    training = split_training(tmp_path)
    assert [scan.participant for scan in training.of_set("train")] == ["01", "02"]
    assert [scan.participant for scan in training.of_set("test")] == ["04"]
    assert training.weight_seed == 2003
    assert training.title == f"{training.configuration.id}, split 3"


@pytest.mark.parametrize(
    "changes",
    [{"split": 4}, {"members": SETS | {"01": "validation"}}, {"shape": (8, 9, 11)}, {"seed": 3}],
)
def test_what_decides_on_a_model_is_in_its_digest(tmp_path: Path, changes: Any) -> None:
    training = split_training(tmp_path)
    digest = training.unit().digest
    assert split_training(tmp_path).unit().digest == digest
    assert split_training(tmp_path, **changes).unit().digest != digest


def test_tables_files_and_classes_are_in_the_digest_and_the_place_is_not(tmp_path: Path) -> None:
    training = split_training(tmp_path)
    digest = training.unit().digest
    assert dataclasses.replace(training, folder=tmp_path / "x").unit().digest == digest
    recipe = dataclasses.replace(training.study.training, epochs=99)
    study = dataclasses.replace(training.study, training=recipe)
    assert dataclasses.replace(training, study=study).unit().digest != digest
    other = dataclasses.replace(training.study, attribution=study.attribution)
    assert dataclasses.replace(training, study=other).unit().digest == digest
    scan = dataclasses.replace(training.scans[0], class_name="NC")
    scans = (scan, *training.scans[1:])
    assert dataclasses.replace(training, scans=scans).unit().digest != digest
    training.scans[0].mask_file.write_text("changed")
    assert training.unit().digest != digest


def test_the_weights_to_start_from_are_an_input(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "large"
    folder.mkdir(parents=True)
    (folder / "model.json").touch()
    training = split_training(tmp_path)
    recipe = dataclasses.replace(training.study.training, transfer=Transfer("large"))
    study = dataclasses.replace(training.study, training=recipe)
    started = dataclasses.replace(training, study=study)
    assert started.start_folder == folder
    assert folder / "model.safetensors" in started.unit().inputs
    assert training.start_folder is None


def test_a_training_keeps_its_checkpoint_in_its_own_folder(tmp_path: Path) -> None:
    training = split_training(tmp_path)
    unit = training.unit()
    assert unit.keeps_checkpoint
    assert unit.root == training.folder == unit.stamp.parent == unit.marker.parent
    assert training.card_file == training.folder / "model.json"
