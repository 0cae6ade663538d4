"""How many processors others leave free, on a machine that is shared without a batch system."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Set
from pathlib import Path

_STAT = Path("/proc/stat")
_IDLE, _WAITING = 3, 4  # columns of a processor's line: idle, idle while a disk is waited for
_SECONDS = 0.2

Ticks = Mapping[int, tuple[float, float]]
"""Processor -> ticks idle and ticks in all since the machine started."""


def free_cpus(available: int, *, seconds: float = _SECONDS) -> int:
    """Return how many of ``available`` processors are idle now, to the nearest whole; at least 1.

    Those of this process's affinity are watched for some ``seconds`` (Linux's ``/proc/stat``).
    Where they cannot be watched, all are taken to be free.
    """
    if available == 1:
        return 1
    cpus = os.sched_getaffinity(0)
    before = _read()
    time.sleep(seconds)
    return max(1, min(available, round(idle_cpus(before, _read(), cpus, available))))


def idle_cpus(before: Ticks, after: Ticks, cpus: Set[int], otherwise: float) -> float:
    """Sum over processors of the share of time that each was idle between two readings.

    cpus : those that count; otherwise : the answer where none of them was measured
    """
    shares = []
    for cpu in cpus & before.keys() & after.keys():
        idle, total = (late - early for early, late in zip(before[cpu], after[cpu], strict=True))
        if total > 0:
            shares.append(idle / total)
    return sum(shares) if shares else otherwise


def parse_ticks(text: str) -> dict[int, tuple[float, float]]:
    """Read ``/proc/stat``: lines ``cpuN user nice system idle iowait irq softirq steal …``."""
    ticks = {}
    for line in text.splitlines():
        name, *columns = line.split()
        if name.startswith("cpu") and name[3:].isdigit():
            numbers = [float(column) for column in columns[:8]]  # guests count as users already
            ticks[int(name[3:])] = (numbers[_IDLE] + numbers[_WAITING], sum(numbers))
    return ticks


def _read() -> dict[int, tuple[float, float]]:
    try:
        return parse_ticks(_STAT.read_text())
    except (OSError, ValueError, IndexError):
        return {}
