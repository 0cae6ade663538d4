"""Lines of tables, put together by what they have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TypeVar

from bids_xai.tables.numbers import MISSING

Row = TypeVar("Row")
Key = TypeVar("Key", bound=Hashable)


def grouped(
    rows: Iterable[Row], key: Callable[[Row], Key], order: Iterable[Key] = ()
) -> dict[Key, list[Row]]:
    """Return key → its lines: the keys of ``order`` first, then as they occur."""
    groups: dict[Key, list[Row]] = {name: [] for name in order}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return {name: lines for name, lines in groups.items() if lines}


def largest_first(
    rows: Iterable[Row], value: Callable[[Row], float | None], name: Callable[[Row], str]
) -> list[Row]:
    """Return lines from the largest value on, equal ones by name, those without a value last."""

    def rank(row: Row) -> tuple[bool, float, str]:
        number = value(row)
        return (True, 0.0, name(row)) if number is None else (False, -number, name(row))

    return sorted(rows, key=rank)


def mean_of(values: Iterable[float | None]) -> float:
    """Return the mean of the values that are there, NaN where none is."""
    defined = [value for value in values if value is not None]
    return math.fsum(defined) / len(defined) if defined else math.nan


def means_by(
    rows: Iterable[Row], key: Callable[[Row], str], value: Callable[[Row], float | None]
) -> Mapping[str, float]:
    """Return key → mean over its lines, as :func:`mean_of`."""
    return {name: mean_of(map(value, lines)) for name, lines in grouped(rows, key).items()}


def text_of(cell: object) -> str:
    """Return a cell as its file has it: ``n/a`` for none."""
    return MISSING if cell is None else str(cell)
