"""Single columns of a table with millions of lines, as arrays and without a record a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bids_xai.bids.integrity import check_intact
from bids_xai.errors import BadDataError, NoInputError
from bids_xai.tables.table import MISSING, Column, Table

_LINES = 200_000  # parsed at a time


def columns_of(
    table: Table[Any], path: Path, names: Sequence[str], where: Mapping[str, str] | None = None
) -> tuple[Any, ...]:
    """Return columns of a file in the order of ``names``, (n_lines,) each.

    Numbers become float64 with NaN for ``n/a``, whole numbers that are always there int64, all else
    stays text as it stands (also ``n/a``). where : column → text that its cells must equal; other
    lines are left out. The file is read in blocks, so that memory holds those lines alone.
    Raises :class:`NoInputError` where there is no file, :class:`BadDataError` for a column that is
    missing, a cell that is no number, or a file that is not as its step wrote it.
    """
    import pandas as pd

    if not path.is_file():
        raise NoInputError(
            "a table of an earlier step is missing", file=path, fix=f"run --steps {table.step}"
        )
    check_intact([path])
    kinds = {column.name: column for column in table.columns}
    parsed: Mapping[Any, Any] = {
        name: _parsed_as(kinds[name]) for name in dict.fromkeys((*names, *(where or {})))
    }
    try:
        reader = pd.read_csv(
            path,
            sep="\t",
            usecols=list(parsed),
            dtype=parsed,
            chunksize=_LINES,
            keep_default_na=False,
            na_values={name: [MISSING] for name, kind in parsed.items() if kind is np.float64},
        )
        blocks = [_matching(block, names, where or {}) for block in reader]
    except (ValueError, OverflowError) as error:
        raise BadDataError(
            f"cannot read the table ({error})", file=path, fix=f"run --steps {table.step} again"
        ) from error
    return tuple(np.concatenate(parts) for parts in zip(*blocks, strict=True))


def _parsed_as(column: Column) -> type[Any]:
    if column.kind is float or (column.kind is int and column.optional):
        return np.float64
    return np.int64 if column.kind is int else str


def _matching(block: Any, names: Sequence[str], where: Mapping[str, str]) -> list[Any]:
    """The columns of the lines of a block that have the values."""
    is_match = np.ones(len(block), bool)
    for name, value in where.items():
        is_match &= block[name].to_numpy() == value
    return [block[name].to_numpy()[is_match] for name in names]
