"""What trainings say of their progress: all of them together, by time."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest

from bids_xai.group.train.progress import EpochsOfTraining
from bids_xai.runtime.progress import Progress
from bids_xai.tables.training import EpochRecord


def record(epoch: int, **numbers: float) -> EpochRecord:
    values = dict.fromkeys(EpochRecord.__dataclass_fields__, 0.5) | numbers
    return EpochRecord(**values | {"epoch": epoch})  # type: ignore[arg-type]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "bids_xai")
    return caplog


def test_epochs_count_towards_all_trainings(clock: Clock, said: pytest.LogCaptureFixture) -> None:
    watch = Progress("trainings", 6, clock=clock, live=False)
    watch.skip()  # up to date
    epochs = EpochsOfTraining("A, split 1", 10, 1.0, watch, None)
    for epoch in range(1, 6):
        clock.now += 120.0
        epochs(record(epoch, train_loss=0.25, inner_mask_share=0.4))
    first, second, *_, last = (text.strip() for text in said.messages)
    assert first == (
        "1 of 6 trainings done, about 1 h 40 min left; A, split 1: epoch 1 of 10, loss 0.250, "
        "validation 0.500, inside the mask 40 %"
    )
    assert "epoch 2 of 10" in second
    assert "epoch 5 of 10" in last
    assert not any("epoch 4 of 10" in text for text in said.messages)  # pauses grow


def test_what_an_interrupted_run_trained_does_not_count_for_the_pace(
    clock: Clock, said: pytest.LogCaptureFixture
) -> None:
    watch = Progress("trainings", 1, clock=clock, live=False)
    epochs = EpochsOfTraining("A, split 0", 45, 1.0, watch, None)
    clock.now += 60.0
    epochs(record(40))
    assert "about 5 min left" in said.messages[0]


def test_draws_of_a_search_are_parts_of_a_training(clock: Clock) -> None:
    watch = Progress("trainings", 2, clock=clock, live=False)
    for _ in range(4):
        epochs = EpochsOfTraining("A, split 0", 5, 0.25, watch, None)
        for epoch in range(1, 6):
            epochs(record(epoch))
    assert watch.done == pytest.approx(1)


def test_a_board_hears_of_every_epoch(clock: Clock) -> None:
    heard: list[int] = []
    board = cast("Any", lambda record: heard.append(record.epoch))
    epochs = EpochsOfTraining("A", 3, 1.0, Progress("trainings", 1, clock=clock), board)
    for epoch in (1, 2, 3):
        epochs(record(epoch))
    assert heard == [1, 2, 3]
