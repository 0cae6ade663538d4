"""Tables of a study from rows that have what a test is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bids_xai.bids.files import write_tsv
from bids_xai.tables.table import Table

EMPTY: Mapping[type, Any] = {str: "", int: 0, float: 0.0, bool: False, Path: "x"}


def write_rows(table: Table[Any], folder: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write rows as a table of a folder and return its file.

    Columns that a row lacks are n/a, or empty of their type where they are always there; columns
    that the table does not have (those of participants.tsv) are written as they stand.
    """
    usual = {
        column.name: None if column.optional else EMPTY[column.kind] for column in table.columns
    }
    full = [{**usual, **row} for row in rows]
    names = full[0] if full else usual
    path = folder / table.file
    write_tsv(path, full, {name: f"the {name}" for name in names})
    return path


def read_texts(path: Path) -> list[dict[str, str]]:
    """Return column → text of every line."""
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    return [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]
