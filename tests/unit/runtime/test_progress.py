"""Progress: by time, never at the end, in words; quiet in a log, live on a terminal."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator

import pytest

from bids_xai.runtime.progress import LOG, Progress, in_words


class Clock:
    """Seconds that a test moves on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def words(self) -> list[str]:
        return [record.getMessage().strip() for record in self.records]


@pytest.fixture
def log() -> Iterator[Kept]:
    kept, level = Kept(), LOG.level
    LOG.addHandler(kept)
    LOG.setLevel(logging.INFO)
    yield kept
    LOG.removeHandler(kept)
    LOG.setLevel(level)


def walk(progress: Progress, clock: Clock, seconds: float, steps: int) -> None:
    for _ in range(steps):
        clock.now += seconds
        progress.step()


def test_what_is_done_soon_is_not_talked_about(log: Kept) -> None:
    clock = Clock()
    walk(Progress("heatmaps", 40, clock=clock, live=False), clock, 0.7, 40)
    assert log.words == []


def test_the_first_word_comes_after_half_a_minute_with_the_time_left(log: Kept) -> None:
    clock = Clock()
    walk(Progress("heatmaps", 40, clock=clock, live=False), clock, 10.0, 4)
    assert log.words == ["3 of 40 heatmaps done, about 6 min left"]


def test_pauses_grow_so_that_a_log_stays_quiet_and_are_never_hours(log: Kept) -> None:
    clock = Clock()
    progress = Progress("heatmaps", 3600, clock=clock, live=False)
    said = []
    for second in range(10, 36000, 10):  # ten hours
        before = len(log.words)
        walk(progress, clock, 10.0, 1)
        said += [second] * (len(log.words) - before)
    assert said[:5] == [30, 90, 210, 450, 930]
    assert len(said) < 50
    assert max(b - a for a, b in itertools.pairwise(said)) <= 900


def test_nothing_is_said_at_the_end(log: Kept) -> None:
    clock = Clock()
    walk(Progress("scans", 1, clock=clock, live=False), clock, 1000.0, 1)
    assert log.words == []


def test_a_terminal_sees_every_second_what_a_log_does_not_keep(log: Kept) -> None:
    clock = Clock()
    walk(Progress("heatmaps", 100, clock=clock, live=True), clock, 0.5, 60)
    assert len(log.records) == 30
    assert all(record.in_place for record in log.records)  # type: ignore[attr-defined]
    kept = [record for record in log.records if not record.passing]  # type: ignore[attr-defined]
    assert [record.getMessage().strip() for record in kept] == [
        "60 of 100 heatmaps done, about 20 s left"
    ]


def test_what_was_skipped_does_not_count_for_the_pace(log: Kept) -> None:
    clock = Clock()
    progress = Progress("trainings", 6, clock=clock, live=False)
    progress.skip(4)
    walk(progress, clock, 3600.0, 1)
    assert log.words == ["5 of 6 trainings done, about 60 min left"]


def test_parts_of_an_item_count_and_the_item_is_told_when_it_is_whole(log: Kept) -> None:
    clock = Clock()
    progress = Progress("trainings", 2, clock=clock, live=False)
    clock.now += 300.0
    progress.step(0.25, "A, split 0: epoch 10 of 40")
    assert log.words == ["0 of 2 trainings done, about 35 min left; A, split 0: epoch 10 of 40"]
    progress.reach(1)  # it stopped early
    clock.now += 300.0
    assert progress.time_left == "about 10 min left"
    progress.reach(0.5)
    assert progress.done == 1


def test_side_by_side_the_time_left_is_told_after_the_first_round() -> None:
    clock = Clock()
    progress = Progress("sessions", 40, at_once=8, clock=clock, live=False)
    walk(progress, clock, 100.0, 1)
    assert progress.time_left == ""  # seven others are nearly done, too
    walk(progress, clock, 0.0, 7)
    assert progress.time_left == "about 7 min left"


def test_a_guess_after_seconds_is_none() -> None:
    clock = Clock()
    progress = Progress("sessions", 40, clock=clock, live=False)
    walk(progress, clock, 9.0, 3)
    assert progress.time_left == ""
    walk(progress, clock, 9.0, 1)
    assert progress.time_left == "about 5 min left"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "10 s"),
        (44, "40 s"),
        (89, "90 s"),
        (91, "2 min"),
        (720, "12 min"),
        (5399, "90 min"),
        (7200, "2 h"),
        (7800, "2 h 10 min"),
        (7170, "2 h"),
        (64800, "18 h"),
        (274000, "3 days 4 h"),
        (259200, "3 days"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
