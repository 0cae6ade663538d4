"""Which trainings a run does, which it leaves, and what a search keeps of its draws."""

from __future__ import annotations

import dataclasses
import logging
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bids_xai.bids.stamps import write_stamp
from bids_xai.errors import BadDataError, InterruptedRunError, UsageError
from bids_xai.group.cohort import step as cohort
from bids_xai.group.train import step
from bids_xai.group.units import Unit, Units
from bids_xai.runtime.progress import Progress
from bids_xai.studies.tables import Search
from bids_xai.training.records import TrainingResult


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "bids_xai")
    return caplog


def test_a_training_that_is_up_to_date_is_skipped_and_any_other_says_why(
    tmp_path: Path, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = Unit("training A, split 0", tmp_path / "stamp.json", (), {}, root=tmp_path)
    training = cast("Any", SimpleNamespace(scans=[], unit=lambda: unit))
    write_stamp(unit.stamp, unit.digest, tmp_path, [])
    progress = Progress("trainings", 2, live=False)
    units = Units(tmp_path, progress)
    resources = cast("Any", None)
    assert not step.train_split(training, resources, units, progress)
    assert progress.done == 1
    assert progress.time_left == ""  # nothing was worked on
    assert log.messages == ["training A, split 0: up to date"]

    def stop(*arguments: object) -> None:
        raise InterruptedError

    log.set_level(logging.DEBUG, "bids_xai")
    write_stamp(unit.stamp, "another", tmp_path, [])
    monkeypatch.setattr(step, "check_no_leakage", stop)
    with pytest.raises(InterruptedError):
        step.train_split(training, resources, units, progress)
    assert "its inputs, its options or the version differ" in log.messages[-1]


def people(derivatives: Any, n: int = 12) -> Any:
    derivatives.people(
        "participant_id\tdiagnosis\n"
        + "".join(f"sub-{i:02d}\t{('NC', 'AD')[i % 2]}\n" for i in range(n))
    )
    for i in range(n):
        derivatives.scan(f"{i:02d}")
    return derivatives


def test_trainings_are_those_of_the_run_split_by_split(
    derivatives: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "common_shape", lambda *_: (40, 48, 40))
    context = people(derivatives).context(seed=3, repeats=2)
    cohort.run(context)
    ids = [configuration.id for configuration in context.study.configurations]
    trainings = step.read(context)
    assert [(t.configuration.id, t.split) for t in trainings] == [
        (name, split) for name in ids for split in (0, 1)
    ]
    assert [t.weight_seed for t in trainings[:2]] == [3000, 3001]
    assert trainings[1].folder == context.model_folder(ids[0], 1)
    assert trainings[1].members == context.splits()[1]
    selected = derivatives.context(configuration=(ids[-1],), split=(1,))
    assert [t.title for t in step.read(selected)] == [f"{ids[-1]}, split 1"]
    with pytest.raises(BadDataError, match="no split 2"):
        step.read(derivatives.context(split=(2,)))


def test_a_search_keeps_the_files_of_the_best_draw_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter((0.5, 0.2, 0.4))

    def fit(training: Any, study: Any, folder: Path, *of: Any, **options: Any) -> Any:
        folder.mkdir(parents=True)
        history = (SimpleNamespace(validation_balanced_accuracy=0.5, seconds=1.0),)
        loss = next(losses)
        result = TrainingResult(
            history=cast("Any", history),
            best_epoch=1,
            best_validation_loss=loss,
            resumed_after=0,
            stopped_early=False,
            constant=False,
        )
        return SimpleNamespace(result=result, loss=loss)

    def save(folder: Path, network: Any) -> list[Path]:
        (folder / "model.json").write_text(str(network.loss))
        return [folder / "model.json"]

    study = SimpleNamespace(
        search=Search(draws=3),
        training=SimpleNamespace(early_stopping=SimpleNamespace(metric="validation_loss")),
        as_plain=dict,
    )
    monkeypatch.setattr("bids_xai.group.train.fit.fit_network", fit)
    monkeypatch.setattr("bids_xai.group.train.fit.save_network", save)
    monkeypatch.setattr(step, "draws_of", lambda *_: [study] * 3)
    training = cast("Any", SimpleNamespace(study=study, folder=tmp_path, title="A", weight_seed=0))
    files = step._search(training, cast("Any", None), Progress("trainings", 1))
    assert {file.name for file in files} == {"model.json", "search.tsv", "search.json"}
    assert (tmp_path / "model.json").read_text() == "0.2"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model.json",
        "search.json",
        "search.tsv",
    ]


@pytest.mark.parametrize(
    ("options", "done", "stays"),
    [
        ({"split": (0,)}, {0, 1}, False),  # the last of the study's trainings
        ({"split": (0,)}, {0}, True),
        ({"split": (0,), "clean_workdir": True}, {0}, False),
    ],
)
def test_volumes_stay_until_the_last_training_of_the_study(
    derivatives: Any,
    monkeypatch: pytest.MonkeyPatch,
    log: pytest.LogCaptureFixture,
    options: dict[str, Any],
    done: set[int],
    stays: bool,
) -> None:
    """Also those that are not of this run count."""
    context = derivatives.context(**options)
    folder = step.volume_folder(derivatives.out / "work", context.study.name)

    def read(of: Any) -> list[Any]:
        splits = of.settings.split or (0, 1)
        return [
            SimpleNamespace(
                split=split,
                card_file=Path(f"{split}"),
                models_folder=derivatives.out,
                unit=lambda split=split: Unit(
                    f"{split}", derivatives.out / f"{split}.json", (), {}, root=derivatives.out
                ),
            )
            for split in splits
        ]

    def train(training: Any, resources: Any, units: Units, progress: Progress) -> bool:
        (resources.cache / "volume.npy").write_bytes(b"1")
        stamp(training)
        return True

    def stamp(training: Any) -> None:
        unit = training.unit()
        write_stamp(unit.stamp, unit.digest, derivatives.out, [])

    for training in read(derivatives.context()):
        if training.split in done - {0}:
            stamp(training)
    monkeypatch.setattr(step, "read", read)
    monkeypatch.setattr(step, "train_split", train)
    assert step.run(context) == [Path("0")]
    assert (folder / "volume.npy").is_file() is stays
    assert (derivatives.out / "work").exists() is stays
    assert any("training volumes are kept" in message for message in log.messages) is stays


def test_an_interrupted_run_keeps_its_volumes(
    derivatives: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = derivatives.context(clean_workdir=True)

    def train(training: Any, resources: Any, *of: Any) -> bool:
        (resources.cache / "volume.npy").write_bytes(b"1")
        signal.raise_signal(signal.SIGUSR1)
        return True

    unit = Unit("0", derivatives.out / "0.json", (), {}, root=derivatives.out)
    training = SimpleNamespace(
        card_file=Path("0"), models_folder=derivatives.out, unit=lambda: unit
    )
    monkeypatch.setattr(step, "read", lambda _: [training])
    monkeypatch.setattr(step, "train_split", train)
    with pytest.raises(InterruptedRunError):
        step.run(context)
    assert (
        step.volume_folder(derivatives.out / "work", context.study.name) / "volume.npy"
    ).is_file()


def test_where_all_is_up_to_date_no_work_is_prepared(
    derivatives: Any, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the device nor a folder for volumes; a device that cannot be used is still told."""
    monkeypatch.setattr(step, "common_shape", lambda *_: (40, 48, 40))
    context = people(derivatives).context()
    cohort.run(context)
    trainings = step.read(context)
    asked: list[object] = []
    monkeypatch.setattr(step, "_train", lambda *of: asked.append(of) or [])
    monkeypatch.setattr(step, "choose_device", lambda *_: pytest.fail("asked for a device"))
    for training in trainings[:-1]:
        unit = training.unit()
        write_stamp(unit.stamp, unit.digest, training.folder, [])
    step.run(context)
    assert len(asked) == 1  # for the last one
    unit = trainings[-1].unit()
    write_stamp(unit.stamp, unit.digest, trainings[-1].folder, [])
    log.clear()
    assert step.run(context) == [training.card_file for training in trainings]
    assert len(asked) == 1
    assert log.messages == [f"training {t.title}: up to date" for t in trainings]
    assert not context.settings.work_folder.exists()
    monkeypatch.setenv("WORLD_SIZE", "1")  # torchrun: its processes go together
    step.run(context)
    assert len(asked) == 2
    elsewhere = dataclasses.replace(context.settings, device="cuda:99")
    with pytest.raises(UsageError, match="cuda:99"):
        step.run(dataclasses.replace(context, settings=elsewhere))
