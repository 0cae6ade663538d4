"""Cells of a participants table: what is missing, what is a number."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bids_xai.errors import BadDataError

Value = str | float | None


def is_missing(value: Value) -> bool:
    """Whether a cell says nothing: empty, ``n/a``, ``nan`` or None."""
    return value is None or str(value).strip().lower() in ("", "n/a", "nan")


def number_of(value: Value) -> float | None:
    """The finite number that a cell holds; None where it holds none."""
    try:
        number = float("" if value is None or "_" in str(value) else value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def refuse_missing(values: Sequence[Value], name: str) -> None:
    """Raise ``BadDataError`` where values of a column are missing, saying how many."""
    n_missing = sum(map(is_missing, values))
    if n_missing:
        raise BadDataError(
            f"Column '{name}' is missing for {n_missing} of {len(values)} participants",
            fix="fill it in, exclude these participants, or do not use the column",
        )
