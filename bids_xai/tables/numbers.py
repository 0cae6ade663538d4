"""How numbers are written in text, for people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bids_xai.bids.layout import read_json

MISSING = "n/a"


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object of a file, empty where there is no file."""
    return read_json(path) if path.is_file() else {}


def percent(value: float | None, digits: int = 1) -> str:
    """``0.642`` → ``64.2 %``; ``n/a`` where there is none."""
    return MISSING if value is None or math.isnan(value) else f"{100 * value:.{digits}f} %"


def count(value: float | None) -> str:
    """Return a whole number; ``n/a`` where there is none."""
    return MISSING if value is None or math.isnan(value) else f"{value:.0f}"


def plural(n: int, noun: str) -> str:
    """``1 scan``, ``2 scans``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def number(value: Any, digits: int = 3) -> str:
    """Return a number with significant digits, text as it is, lists with commas."""
    if isinstance(value, bool) or value is None:
        return MISSING if value is None else ("yes" if value else "no")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return MISSING if math.isnan(value) else f"{value:.{digits}g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(number(item, digits) for item in value)
    return str(value)


def mean_sd(values: Iterable[float | None]) -> str:
    """Mean ± sd (n - 1) of what is neither None nor NaN; ``n/a`` for none, no sd for one."""
    finite = [value for value in values if value is not None and not math.isnan(value)]
    if not finite:
        return MISSING
    mean = sum(finite) / len(finite)
    if len(finite) == 1:
        return f"{mean:.1f}"
    sd = math.sqrt(sum((v - mean) ** 2 for v in finite) / (len(finite) - 1))
    return f"{mean:.1f} ± {sd:.1f}"
