"""Signals: finish the step, keep everything, leave with a status of its own."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from pathlib import Path

import pytest
from training_cases import Signalling, Tiny, make_recipe, make_scans

from bids_xai.training.checkpoint import CHECKPOINT, load_checkpoint
from bids_xai.training.loop import LOG, EpochRecord, TrainingInterrupted, train
from bids_xai.training.signals import SIGNALS, stop_requests


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_step_and_is_kept(tmp_path: Path, number: signal.Signals) -> None:
    former = [signal.getsignal(n) for n in SIGNALS]
    data = Signalling(make_scans(8), 5, number)  # within the second of four steps
    with pytest.raises(TrainingInterrupted, match=f"{number.name}.*the same command") as caught:
        train(Tiny(), data, make_scans(2), make_recipe(batch_size=2), folder=tmp_path, device="cpu")
    assert caught.value.status == 75
    assert caught.value.file == str(tmp_path / CHECKPOINT)
    assert [signal.getsignal(n) for n in SIGNALS] == former
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint.scalars["part"]["done"] == 6  # the step of scans 5 and 6 was finished
    assert checkpoint.scalars["history"] == []
    assert (tmp_path / LOG).read_text().startswith("epoch\t")
    assert pickle.loads(pickle.dumps(caught.value)).status == 75


def test_a_signal_after_the_last_epoch_does_not_train_on(tmp_path: Path) -> None:
    def stop(record: EpochRecord) -> None:
        if record.epoch == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    recipe, data = make_recipe(epochs=2), make_scans(4)
    with pytest.raises(TrainingInterrupted):
        train(Tiny(), data, data, recipe, folder=tmp_path, device="cpu", progress=stop)
    result = train(Tiny(), data, data, recipe, folder=tmp_path, device="cpu")
    assert (len(result.history), result.resumed_after) == (2, 2)


def test_a_second_interrupt_key_does_not_wait() -> None:
    with stop_requests() as request:
        os.kill(os.getpid(), signal.SIGINT)
        assert request
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_handlers_are_put_back_after_an_error() -> None:
    former = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ValueError, match="x"), stop_requests():
        raise ValueError("x")
    assert signal.getsignal(signal.SIGTERM) is former


def test_other_threads_train_without_handlers(tmp_path: Path) -> None:
    seen: list[object] = []

    def run() -> None:
        result = train(
            Tiny(),
            make_scans(4),
            make_scans(2),
            make_recipe(epochs=1),
            folder=tmp_path,
            device="cpu",
            progress=lambda record: seen.append(signal.getsignal(signal.SIGTERM)),
        )
        seen.append(len(result.history))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM), 1]


def test_a_signal_before_an_inner_one_is_not_forgotten() -> None:
    with stop_requests() as outer:
        os.kill(os.getpid(), signal.SIGUSR1)  # while volumes are prepared
        with stop_requests() as inner:
            assert inner.name == "SIGUSR1"
        os.kill(os.getpid(), signal.SIGTERM)
        assert outer.name == "SIGTERM"  # still listening after the inner one has ended
    with stop_requests() as fresh:
        assert not fresh
