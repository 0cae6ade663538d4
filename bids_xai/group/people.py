"""Tables of people that come with the raw dataset: participants.tsv and sessions.tsv."""

from __future__ import annotations

import csv
from pathlib import Path

from bids_xai.errors import BadDataError, NoInputError

_QUOTES = 'remove stray quotes (")'
People = dict[str, dict[str, str]]


def read_participants(bids_dir: Path, columns: tuple[str, ...]) -> People:
    """Return ``sub-X`` → its row of participants.tsv.

    columns : those that a study needs
    Raises :class:`NoInputError` without the file, :class:`BadDataError` without a column, for a
    broken table or a participant that is listed twice.
    """
    path = bids_dir / "participants.tsv"
    if not path.is_file():
        raise NoInputError(
            "participants.tsv is missing: the group level takes the classes from it",
            file=path,
            fix=f"add it with the columns {', '.join(('participant_id', *columns))}",
        )
    return _by_key(path, "participant_id", "sub-", columns)


def read_sessions(bids_dir: Path, participant: str, columns: tuple[str, ...]) -> People:
    """Return ``ses-X`` → its row of a participant's sessions.tsv; nothing where there is none.

    participant : ``sub-X``
    Raises as :func:`read_participants` does.
    """
    path = bids_dir / participant / f"{participant}_sessions.tsv"
    return _by_key(path, "session_id", "ses-", columns) if path.is_file() else {}


def _by_key(path: Path, key: str, prefix: str, columns: tuple[str, ...]) -> People:
    header, rows = read_table(path)
    for needed in (key, *columns):
        if needed not in header:
            raise BadDataError(
                f"no column '{needed}'",
                file=path,
                fix=f"add it, or name another in the study file; there are {', '.join(header)}",
            )
    people: People = {}
    lines: dict[str, int] = {}
    for line, row in rows:
        name = with_prefix(row[key] or "", prefix)
        if name in people:
            raise BadDataError(
                f"{name} is listed twice, in lines {lines[name]} and {line}",
                file=path,
                fix="keep one line for each participant",
            )
        people[name], lines[name] = row, line
    return people


def with_prefix(label: str, prefix: str = "sub-") -> str:
    """Return ``sub-01`` for ``01`` and ``sub-01``."""
    return prefix + label.removeprefix(prefix)


def read_table(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Return the header, and the number of the line and the cells of every row that has any.

    Raises :class:`BadDataError` naming the line that is broken.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, delimiter="\t", strict=True)
            header = list(reader.fieldnames or [])
            rows = [(reader.line_num, row) for row in reader if any(row.values())]
    except UnicodeDecodeError as error:
        raise BadDataError("the table is not UTF-8", file=path, fix="save it as UTF-8") from error
    except csv.Error as error:
        raise BadDataError(
            f"line {reader.line_num} of the table is broken ({error})", file=path, fix=_QUOTES
        ) from error
    for line, row in rows:
        if any("\n" in str(cell) or "\r" in str(cell) for cell in row.values()):
            raise BadDataError(
                f"a cell that ends in line {line} spans several lines", file=path, fix=_QUOTES
            )
    return header, rows
