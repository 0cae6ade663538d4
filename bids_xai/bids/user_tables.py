"""Tables that users wrote (participants.tsv, sessions.tsv and others): read strictly, or refused.

Nothing of a table may be taken for something else: a class that is read from the wrong column, or
not recognised because of a blank, would be wrong with nobody told.
"""

from __future__ import annotations

import csv
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bids_xai.errors import BadDataError, did_you_mean

LOG = logging.getLogger("bids_xai")

_QUOTES = 'remove stray quotes (")'
_KEYS = ("participant_id", "session_id")
_UNSEEN = "\ufeff\u200b\u2060"
"""Characters without width that strip() leaves."""


@dataclass(frozen=True)
class UserTable:
    """A table as it was read; no cell has blanks around it.

    header : names of columns, all different
    rows : number of the line, and column → cell, empty where the line ends before it
    """

    file: Path
    header: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]

    def by_key(self, key: str, prefix: str) -> dict[str, dict[str, str]]:
        """Return label with ``prefix`` → row, by the column ``key``.

        Raises :class:`BadDataError` for a line without a label and for one that is there twice.
        """
        rows: dict[str, dict[str, str]] = {}
        lines: dict[str, int] = {}
        for line, row in self.rows:
            if row[key] in ("", "n/a"):
                raise BadDataError(
                    f"line {line} has no {key}", file=self.file, fix="add it, or remove the line"
                )
            name = with_prefix(row[key], prefix)
            if name in rows:
                raise BadDataError(
                    f"{name} is listed twice, in lines {lines[name]} and {line}",
                    file=self.file,
                    fix=f"keep one line for each {key}",
                )
            rows[name], lines[name] = row, line
        return rows


def with_prefix(label: str, prefix: str = "sub-") -> str:
    """Return ``sub-01`` for ``01`` and ``sub-01``."""
    return prefix + label.removeprefix(prefix)


def read_user_table(path: Path, needed: Iterable[str] = ()) -> UserTable:
    """Read a table of tab-separated values; blanks around cells go, with a warning.

    needed : columns that must be there
    Raises :class:`BadDataError` naming line and fix for a file that is no UTF-8 or not separated
    by tabs, for columns of one name or without any, for columns that are missing, for lines with
    more cells than columns, and for a file that ends within a line.
    """
    lines = _lines(path)
    header, n_padded = _header(lines, path, tuple(needed))
    rows: list[tuple[int, dict[str, str]]] = []
    for number, cells in lines[1:]:
        stripped = [_bare(cell) for cell in cells]
        n_padded += stripped != cells
        if any(stripped):
            _check_length(stripped, header, number, path)
            rows.append((number, dict(zip(header, stripped + [""] * len(header), strict=False))))
    if n_padded:
        _tell_of_blanks(path, n_padded)
    _check_end(path, lines, header)
    return UserTable(path, header, tuple(rows))


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Number and cells of every line that is not empty."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter="\t", strict=True)
            lines = [(reader.line_num, cells) for cells in reader if cells]
    except UnicodeDecodeError as error:
        raise BadDataError("the table is not UTF-8", file=path, fix="save it as UTF-8") from error
    except csv.Error as error:
        raise BadDataError(
            f"line {reader.line_num} of the table is broken ({error})", file=path, fix=_QUOTES
        ) from error
    for number, cells in lines:
        if any("\n" in cell or "\r" in cell for cell in cells):
            raise BadDataError(
                f"a cell that ends in line {number} spans several lines", file=path, fix=_QUOTES
            )
    return lines


def _header(
    lines: Sequence[tuple[int, list[str]]], path: Path, needed: Sequence[str]
) -> tuple[tuple[str, ...], int]:
    """The names of the columns, and whether there were blanks around one (0 or 1)."""
    cells = lines[0][1] if lines else []
    header = tuple(_bare(cell) for cell in cells)
    if len(header) == 1 and (separator := next((s for s in ",;" if s in header[0]), "")):
        raise BadDataError(
            f"the columns are separated by '{separator}'",
            file=path,
            fix="save the table with tabs between the columns (tab-separated values)",
        )
    twice = [name or "(without a name)" for name, n in Counter(header).items() if n > 1]
    if twice:
        raise BadDataError(
            f"several columns are named {', '.join(twice)}: which one counts is a guess",
            file=path,
            fix="keep one of them, or give each a name of its own",
        )
    for name in needed:
        if name not in header:
            other = "" if name in _KEYS else ", or name another in the study file"
            near = did_you_mean(name, header)
            raise BadDataError(
                f"no column '{name}'",
                file=path,
                fix=f"add it{other}{near}; there are {', '.join(header) or 'none'}",
            )
    return header, int(header != tuple(cells))


def _check_length(cells: Sequence[str], header: Sequence[str], line: int, path: Path) -> None:
    """More cells than columns: one of them may have slipped. Fewer: the last ones are empty."""
    if any(cells[len(header) :]):
        raise BadDataError(
            f"line {line} has {len(cells)} cells, but there are {len(header)} columns",
            file=path,
            fix="remove the tab that is too many, so that every cell is below its column",
        )


def _check_end(path: Path, lines: Sequence[tuple[int, list[str]]], header: Sequence[str]) -> None:
    """A file that was cut short ends within a line: its last cell may have lost its end."""
    if len(lines) < 2 or len(lines[-1][1]) >= len(header):
        return
    with path.open("rb") as stream:
        stream.seek(-1, 2)
        ends = stream.read() in (b"\n", b"\r")
    if not ends:
        raise BadDataError(
            f"the table ends within line {lines[-1][0]}",
            file=path,
            fix="copy it again; if it is whole, end the line with a line break",
        )


@cache
def _tell_of_blanks(path: Path, n_lines: int) -> None:
    """Once a run, however often the table is read."""
    LOG.warning(
        "%s: blanks around the cells of %d line(s) do not count; remove them for other programs",
        path,
        n_lines,
    )


def _bare(cell: str) -> str:
    return cell.strip().strip(_UNSEEN).strip()
