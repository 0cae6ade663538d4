"""Which test sets are explained, which are kept, and the tables that follow."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from cards import model_card
from tsv_rows import text_rows

from bids_xai.bids.files import write_json, write_text
from bids_xai.bids.images import Volume
from bids_xai.bids.integrity import sealed
from bids_xai.bids.stamps import write_stamp
from bids_xai.core.cohort.splits import split_hash
from bids_xai.errors import BadDataError, NoInputError, UsageError
from bids_xai.group.cohort import step as cohort
from bids_xai.group.context import GroupContext
from bids_xai.group.explain import step
from bids_xai.group.explain.heatmaps import Heatmap, HeatmapOptions, TrainedNetwork
from bids_xai.group.outcomes import prediction
from bids_xai.group.scans import Scan
from bids_xai.group.train import step as train_step
from bids_xai.group.units import Units
from bids_xai.models.card import WEIGHTS, model_files
from bids_xai.studies.tables import Attribution


@pytest.fixture
def explained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Networks that are right; which of them explained anything."""
    seen: list[tuple[str, int]] = []

    def load(folder: Path) -> Any:
        card = SimpleNamespace(study="quick", configuration="A", split=0, space="T1w")
        card.classes = ("NC", "AD")
        return None, card

    def heatmaps(
        network: TrainedNetwork, scans: Sequence[Scan], options: HeatmapOptions
    ) -> Iterator[Heatmap]:
        seen.append((network.configuration, network.split))
        volume = Volume(np.ones((2, 2, 2), np.float32), np.eye(4))
        for scan in scans:
            sick = 0.9 if scan.class_name == "AD" else 0.1
            row = prediction(
                options.target,
                network.configuration,
                network.split,
                scan,
                np.array([1 - sick, sick]),
            )
            for request in options.requests:
                row = dataclasses.replace(row, method=request.name, relevance_class="AD")
                yield Heatmap(scan, request, row, volume, None)

    monkeypatch.setattr(train_step, "common_shape", lambda *_: (16, 16, 16))  # maps are empty files
    monkeypatch.setattr(step, "load_model", load)
    monkeypatch.setattr(step.InputRule, "of_model", lambda *_: None)
    monkeypatch.setattr(step, "heatmaps", heatmaps)
    return seen


@pytest.fixture
def context(derivatives: Any) -> GroupContext:
    """Two methods, a model of configuration A in both splits and of C in one."""
    derivatives.people(
        "participant_id\tdiagnosis\n"
        + "".join(f"sub-{i:02d}\t{('NC', 'AD')[i % 2]}\n" for i in range(16))
    )
    for i in range(16):
        derivatives.scan(f"{i:02d}")
    made: GroupContext = derivatives.context(device="cpu")
    study = dataclasses.replace(
        made.study, attribution=Attribution(methods=("saliency", "lrp-zplus"))
    )
    made = dataclasses.replace(made, study=study, template="")
    cohort.run(dataclasses.replace(made, template="MNI152NLin2009aSym"))
    return made


def train(context: GroupContext, configuration: str, split: int) -> None:
    folder = context.model_folder(configuration, split)
    members, target = context.splits()[split], context.study.target
    card = model_card(
        classes=target.names,
        positive=target.positive_name,
        configuration=configuration,
        split=split,
        split_hash=split_hash(members),
        training_participants=tuple(name for name in members if members[name] != "test"),
        metrics={"epochs": 10 + split, "seconds": 2.0},
    )
    write_text(folder / "model.json", card.to_json())
    (folder / "model.safetensors").write_text(f"{configuration} {split}")


def test_without_a_model_there_is_nothing_to_explain(context: GroupContext) -> None:
    with pytest.raises(NoInputError, match="--steps train first"):
        step.run(context)


def test_tables_are_of_all_models_that_are_there(
    context: GroupContext, explained: list[tuple[str, int]]
) -> None:
    for name, split in (("A", 0), ("A", 1), ("C", 1)):
        train(context, name, split)
    written = step.run(context)
    assert explained == [("A", 0), ("A", 1), ("C", 1)]
    assert [file.name for file in written if file.suffix == ".tsv"] == [
        "predictions.tsv",
        "performance.tsv",
        "performance_summary.tsv",
        "comparisons.tsv",
        "roc.tsv",
        "calibration.tsv",
        "confusion.tsv",
    ]
    tested = [sum(s == "test" for s in members.values()) for members in context.splits()]
    rows = context.predictions()
    assert len(rows) == 2 * (2 * tested[0] + 2 * tested[1]) - 2 * tested[0]
    assert {row.method for row in rows} == {"saliency", "lrp-zplus"}
    assert all((context.folder / row.heatmap).is_file() for row in rows if row.heatmap)
    performance = text_rows(context.folder / "performance.tsv")
    assert [(r["configuration"], r["split"], r["n_test"], r["epochs"]) for r in performance] == [
        ("A", "0", str(tested[0]), "10"),  # of the first method alone
        ("A", "1", str(tested[1]), "11"),
        ("C", "1", str(tested[1]), "11"),
    ]
    assert {r["accuracy"] for r in performance} == {"1"}


def test_a_test_set_is_explained_again_where_its_network_or_a_scan_changed(
    context: GroupContext, explained: list[tuple[str, int]]
) -> None:
    train(context, "A", 0)
    train(context, "A", 1)
    step.run(context)
    table = (context.folder / "predictions.tsv").read_bytes()
    explained.clear()
    step.run(context)
    assert explained == []
    assert (context.folder / "predictions.tsv").read_bytes() == table
    (context.model_folder("A", 1) / "model.safetensors").write_text("trained again")
    step.run(context)
    assert explained == [("A", 1)]
    explained.clear()
    settings = dataclasses.replace(context.settings, renormalise=True)
    step.run(dataclasses.replace(context, settings=settings))
    assert explained == [("A", 0), ("A", 1)]


def test_the_study_tells_what_made_the_heatmaps_not_what_found_them_up_to_date(
    context: GroupContext, explained: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    train(context, "A", 0)
    step.run(context)
    file = context.folder / "study.json"
    written = json.loads(file.read_text())
    assert written["versions"]["torch"] == torch.__version__
    write_json(file, sealed(written | {"versions": {"torch": "1.0"}}))
    step.run(context)
    assert json.loads(file.read_text())["versions"] == {"torch": "1.0"}
    write_json(file, sealed({k: v for k, v in written.items() if k != "atlas"}))
    step.run(context)  # a description that was lost is written again
    assert json.loads(file.read_text()) == written
    assert explained == [("A", 0)]

    def interrupted(*_: object) -> Iterator[Heatmap]:
        raise KeyboardInterrupt

    write_json(file, sealed(written | {"versions": {"torch": "1.0"}, "resolution": 99}))
    (context.model_folder("A", 0) / "model.safetensors").write_text("trained again")
    with monkeypatch.context() as patch:
        patch.setattr(step, "heatmaps", interrupted)
        with pytest.raises(KeyboardInterrupt):
            step.run(context)
    assert json.loads(file.read_text())["resolution"] == written["resolution"]


def test_a_device_that_cannot_be_used_is_told_where_all_is_up_to_date(
    context: GroupContext, explained: list[tuple[str, int]]
) -> None:
    train(context, "A", 0)
    step.run(context)
    settings = dataclasses.replace(context.settings, device="cuda:99")
    with pytest.raises(UsageError, match="cuda:99"):
        step.run(dataclasses.replace(context, settings=settings))


def _stamp_trainings(context: GroupContext) -> None:
    for training in train_step.read(context):
        unit = training.unit()
        write_stamp(unit.stamp, unit.digest, training.folder, [])


def test_a_model_that_has_seen_who_is_tested_now_is_refused(
    context: GroupContext, explained: list[tuple[str, int]]
) -> None:
    """The cohort was split anew with another seed, the networks were not trained again."""
    train(context, "A", 0)
    settings = dataclasses.replace(context.settings, random_seed=7)
    again = dataclasses.replace(context, settings=settings)
    cohort.run(dataclasses.replace(again, template="MNI152NLin2009aSym"))
    with pytest.raises(BadDataError, match="model that has seen them in training") as caught:
        step.run(again)
    assert str(caught.value.file).endswith("A/split-0/model.json")
    assert "--steps train" in str(caught.value.fix)
    assert explained == []


@pytest.mark.parametrize("what", ["epochs", "seed", "map"])
def test_a_model_of_other_settings_or_maps_than_now_is_refused(
    what: str, context: GroupContext, explained: list[tuple[str, int]]
) -> None:
    train(context, "A", 0)
    _stamp_trainings(context)
    step.run(context)  # as it was trained
    changed = context
    if what == "epochs":
        training = dataclasses.replace(context.study.training, epochs=7)
        changed = dataclasses.replace(
            context, study=dataclasses.replace(context.study, training=training)
        )
    elif what == "seed":
        settings = dataclasses.replace(context.settings, random_seed=7)
        changed = dataclasses.replace(context, settings=settings)
    else:
        context.scans()[0].map_file.write_bytes(b"another map")
    with pytest.raises(BadDataError, match="training A, split 0: the maps, the settings") as caught:
        step.run(changed)
    assert "--steps train" in str(caught.value.fix)


def _flip(path: Path) -> None:
    """Change a bit, as a disk may: size and time of change stay."""
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=times)


def test_a_damaged_model_is_named_and_trained_again(
    context: GroupContext, explained: list[tuple[str, int]]
) -> None:
    """Explaining said "train again", and training "up to date", for ever."""
    for split in range(2):
        train(context, "A", split)
    trainings = [t for t in train_step.read(context) if t.configuration.id == "A"]
    for training in trainings:
        unit = training.unit()
        write_stamp(unit.stamp, unit.digest, training.folder, model_files(training.folder))
    step.run(context)
    units = Units(context.models_folder)
    weights = context.model_folder("A", 1) / WEIGHTS
    _flip(weights)
    for _ in range(2):  # and again, as long as it is not trained
        with pytest.raises(BadDataError, match="damaged or was changed") as caught:
            step.run(context)
        assert caught.value.file == str(weights)
        assert [units.is_current(training.unit()) for training in trainings] == [True, False]
    assert explained == [("A", 0), ("A", 1)]


def test_heatmaps_of_a_model_that_was_trained_again_are_no_results(
    context: GroupContext, explained: list[tuple[str, int]]
) -> None:
    train(context, "A", 0)
    step.run(context)
    assert context.predictions()
    (context.model_folder("A", 0) / WEIGHTS).write_text("trained again")
    with pytest.raises(BadDataError, match="heatmaps of configuration A, split 0") as caught:
        context.predictions()
    assert "--steps explain" in str(caught.value.fix)
    step.run(context)
    assert context.predictions()
    assert explained == [("A", 0), ("A", 0)]
