"""Threads by what others leave free."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bids_xai.runtime import threads
from bids_xai.runtime.threads import free_cpus, idle_cpus, parse_ticks

STAT = """cpu  400 0 200 3400 100 0 0 0 50 0
cpu0 100 0 50 800 50 0 0 0 25 0
cpu1 300 0 150 2600 50 0 0 0 25 0
intr 1 2 3
ctxt 5
"""


def test_lines_of_the_processors_are_read() -> None:
    """Time that guests took is a part of the user's and does not count again."""
    assert parse_ticks(STAT) == {0: (850.0, 1000.0), 1: (2650.0, 3100.0)}


@pytest.mark.parametrize(
    ("cpus", "idle"), [({0}, 0.25), ({1}, 1.0), ({0, 1}, 1.25), ({0, 1, 2}, 1.25), ({7}, 5.0)]
)
def test_idle_shares_of_the_processors_of_this_process_are_summed(
    cpus: set[int], idle: float
) -> None:
    before = {0: (0.0, 0.0), 1: (100.0, 200.0), 2: (5.0, 9.0)}
    after = {0: (5.0, 20.0), 1: (120.0, 220.0), 2: (5.0, 9.0)}  # 2 was switched off
    assert idle_cpus(before, after, cpus, otherwise=5.0) == pytest.approx(idle)


@pytest.mark.parametrize(
    ("idle", "available", "n_threads"),
    [(0.0, 8, 1), (0.4, 8, 1), (1.6, 8, 2), (5.9, 8, 6), (16.0, 8, 8), (16.0, 1, 1)],
)
def test_threads_are_what_is_idle_at_least_one_at_most_what_is_granted(
    idle: float, available: int, n_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    readings = iter([dict.fromkeys(cpus, (0.0, 0.0)), dict.fromkeys(cpus, (idle, len(cpus)))])
    monkeypatch.setattr(threads, "_read", lambda: next(readings))
    assert free_cpus(available, seconds=0) == n_threads


def test_all_are_free_where_nobody_can_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "_STAT", tmp_path / "stat")
    assert free_cpus(3, seconds=0) == 3
    (tmp_path / "stat").write_text("cpu0 a lot\n")
    assert free_cpus(3, seconds=0) == 3


def test_a_busy_processor_is_not_free() -> None:
    """On one processor of this machine that another process keeps busy."""
    cpu = min(os.sched_getaffinity(0))
    text = f"import os; os.sched_setaffinity(0, {{{cpu}}}); print(1, flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE) as busy:
        assert busy.stdout is not None
        busy.stdout.readline()
        before = threads._read()
        threads.time.sleep(0.5)
        idle = idle_cpus(before, threads._read(), {cpu}, otherwise=1.0)
        busy.kill()
    assert idle < 0.2
