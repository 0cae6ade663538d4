"""A table that the app writes: one frozen record a line, described once, read and written here.

A record is a frozen data class whose fields are made by :func:`column` and, last, at most one by
:func:`more_columns` (columns whose names depend on the study). The type of a field says what a cell
holds: ``str``, ``int``, ``float``, ``bool`` or ``Path``; with ``| None`` the cell may be ``n/a``.
"""

from __future__ import annotations

import csv
import dataclasses
import filecmp
import math
import os
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from bids_xai.bids.files import column_descriptions, tsv_text, write_json
from bids_xai.bids.integrity import check_intact
from bids_xai.errors import BadDataError, NoInputError
from bids_xai.runtime.atomic import replacing

MISSING = "n/a"
_LINES = 20_000  # turned into text at a time
_COLUMN, _MORE = "column", "more"


@dataclass(frozen=True)
class Column:
    """One column: its name in the file, what it means, its unit, and what its cells hold."""

    name: str
    meaning: str
    unit: str
    kind: type
    optional: bool

    @property
    def kind_name(self) -> str:
        """Text, whole number, number, true or false, path; with ``or n/a`` where that occurs."""
        return _KINDS[self.kind][0] + (f" or {MISSING}" if self.optional else "")


@dataclass(frozen=True)
class MoreColumns:
    """Columns that depend on the study: a common start of their names and what they mean.

    ``meaning`` may name the key as ``{}``; ``kind`` is what their cells hold.
    """

    prefix: str
    meaning: str
    kind: type

    def columns(self, keys: Iterable[str]) -> dict[str, str]:
        """Return name → description of the columns of some keys."""
        return {f"{self.prefix}{key}": self.meaning.format(key) for key in keys}


def column(meaning: str, *, name: str = "", unit: str = "", **default: Any) -> Any:
    """Return a field of a record.

    name : of the column, where the field cannot have it (``class``); unit : as in ``docs``
    """
    return dataclasses.field(metadata={_COLUMN: (name, meaning, unit)}, **default)


def more_columns(prefix: str, meaning: str) -> Any:
    """Return the last field of a record: key → cell, one column ``prefix + key`` for each."""
    return dataclasses.field(default_factory=dict, metadata={_MORE: (prefix, meaning)})


Row = TypeVar("Row")


@dataclass(frozen=True)
class Table(Generic[Row]):
    """A kind of table.

    file : name of the file, or how it ends where participants have one each
    row : the record of a line
    step : step of the group level, or level, that writes it
    exact : whether numbers are written with all their digits, not with nine
    """

    file: str
    row: type[Row]
    step: str
    exact: bool = False

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The columns that the table always has, in their order."""
        hints = get_type_hints(self.row)
        columns = []
        for field in dataclasses.fields(self.row):  # type: ignore[arg-type]
            if _COLUMN in field.metadata:
                name, meaning, unit = field.metadata[_COLUMN]
                kind, optional = _kind_of(hints[field.name])
                columns.append(Column(name or field.name, meaning, unit, kind, optional))
        return tuple(columns)

    @cached_property
    def more(self) -> MoreColumns | None:
        """The columns that depend on the study, where the table has any."""
        if not self._more_field:
            return None
        _, value = get_args(get_type_hints(self.row)[self._more_field])
        fields = {field.name: field for field in dataclasses.fields(self.row)}  # type: ignore[arg-type]
        prefix, meaning = fields[self._more_field].metadata[_MORE]
        return MoreColumns(prefix, meaning, _kind_of(value)[0])

    @cached_property
    def _more_field(self) -> str:
        fields = dataclasses.fields(self.row)  # type: ignore[arg-type]
        return next((field.name for field in fields if _MORE in field.metadata), "")

    @cached_property
    def _fields(self) -> dict[str, str]:
        """Name of a column → name of the record's field."""
        names = [f.name for f in dataclasses.fields(self.row) if _COLUMN in f.metadata]  # type: ignore[arg-type]
        return {column.name: name for column, name in zip(self.columns, names, strict=True)}

    def meanings(self, more: Iterable[str] = ()) -> dict[str, str]:
        """Return column → what it means; more : keys of the columns that depend on the study."""
        described = {column.name: column.meaning for column in self.columns}
        return described | (self.more.columns(more) if self.more else {})

    def cells(self, row: Row) -> dict[str, Any]:
        """Return column → value of a record, as :func:`tsv_text` takes them."""
        cells = {name: getattr(row, field) for name, field in self._fields.items()}
        if self.more:
            extra: Mapping[str, Any] = getattr(row, self._more_field)
            cells |= {f"{self.more.prefix}{key}": value for key, value in extra.items()}
        return {name: _in_full(cell) for name, cell in cells.items()} if self.exact else cells

    def text(self, rows: Iterable[Row], more: Iterable[str] = ()) -> str:
        """Return the text of the file; see :meth:`write`."""
        return tsv_text([self.cells(row) for row in rows], self.meanings(more))

    def write(
        self,
        path: Path,
        rows: Iterable[Row],
        *,
        more: Iterable[str] = (),
        notes: Mapping[str, str] | None = None,
    ) -> list[Path]:
        """Write the table and the JSON that says what its columns mean; return both files.

        Both are written whole or not at all, a block of lines at a time, and keep their time of
        change where nothing changed. more : keys of the columns that depend on the study.
        notes : column → what to add to its meaning for this file.
        Raises :class:`CannotCreateError` where the folder or disk refuses.
        """
        meanings = self.meanings(more)
        described = {
            name: f"{text}{(notes or {}).get(name, '')}" for name, text in meanings.items()
        }
        sidecar = write_json(path.with_suffix(".json"), column_descriptions(described))
        source = iter(rows)
        with replacing(path) as temporary:
            with temporary.open("x", encoding="utf-8", newline="") as stream:
                stream.write(tsv_text([], meanings))
                while block := [self.cells(row) for row in islice(source, _LINES)]:
                    stream.write(tsv_text(block, meanings).partition("\n")[2])
            if path.is_file() and filecmp.cmp(path, temporary, shallow=False):
                os.unlink(temporary)
        return [path, sidecar]

    def read(self, path: Path) -> list[Row]:
        """Return the lines of the table.

        Raises :class:`NoInputError` where there is no file, :class:`BadDataError` for a column
        that is missing, a cell that does not hold what its column says, and a file that was
        damaged or cut short; all name the step that makes the table, and the line.
        """
        return list(self.iterate(path))

    def read_if_written(self, path: Path) -> list[Row]:
        """Return the lines of the table, none where there is no file. Raises as :meth:`read`."""
        return self.read(path) if path.is_file() else []

    def iterate(self, path: Path) -> Iterator[Row]:
        """Yield the lines of the table one by one. Raises as :meth:`read`."""
        if not path.is_file():
            raise NoInputError(
                "a table of an earlier step is missing", file=path, fix=self._again("first")
            )
        check_intact([path], lambda: list(self._lines(path)))  # the line at fault says more
        yield from self._lines(path)

    def _lines(self, path: Path) -> Iterator[Row]:
        try:
            with path.open(encoding="utf-8", newline="") as stream:
                yield from self._records(csv.reader(stream, delimiter="\t", strict=True), path)
        except (csv.Error, UnicodeDecodeError) as error:
            raise BadDataError(
                f"cannot read the table ({error})", file=path, fix=self._again("again")
            ) from error

    def _records(self, lines: Any, path: Path) -> Iterator[Row]:
        header: list[str] = next(lines, [])
        absent = [column.name for column in self.columns if column.name not in header]
        if absent:
            raise BadDataError(
                f"the table lacks the columns {', '.join(absent)}",
                file=path,
                fix=self._again("again"),
            )
        positions = [
            (self._fields[column.name], header.index(column.name), column)
            for column in self.columns
        ]
        extra = self._extra(header)
        for cells in lines:
            if len(cells) != len(header):
                raise BadDataError(
                    f"line {lines.line_num} of the table has {len(cells)} cells instead of "
                    f"{len(header)}",
                    file=path,
                    fix=self._again("again"),
                )
            values: dict[str, Any] = {}
            for field, index, column in positions:
                values[field] = self._cell(path, lines.line_num, column, cells[index])
            if extra:
                values[self._more_field] = {
                    key: self._cell(path, lines.line_num, column, cells[index])
                    for key, index, column in extra
                }
            yield self.row(**values)

    def _extra(self, header: Sequence[str]) -> list[tuple[str, int, Column]]:
        """Key, index and kind of the columns that depend on the study."""
        if not self.more:
            return []
        start, usual = self.more.prefix, {column.name for column in self.columns}
        return [
            (name.removeprefix(start), index, Column(name, "", "", self.more.kind, True))
            for index, name in enumerate(header)
            if name.startswith(start) and name not in usual
        ]

    def _cell(self, path: Path, line: int, column: Column, cell: str) -> Any:
        if column.optional and cell == MISSING:
            return None
        try:
            return _KINDS[column.kind][1](cell)
        except ValueError as error:
            raise BadDataError(
                f"line {line} of the table: the column {column.name} contains {cell!r}, "
                f"expected: {_KINDS[column.kind][0]}",
                file=path,
                fix=self._again("again"),
            ) from error

    def _again(self, when: str) -> str:
        if self.step == "participant":
            return f"run the participant level {when}"
        return f"run --steps {self.step} {when}"


def _kind_of(hint: Any) -> tuple[type, bool]:
    """Return what a cell holds and whether it may be ``n/a``."""
    if get_origin(hint) in (Union, types.UnionType):
        inner = [part for part in get_args(hint) if part is not type(None)]
        return inner[0], True
    return hint, False


def _in_full(cell: Any) -> Any:
    return repr(cell) if isinstance(cell, float) and math.isfinite(cell) else cell


def _truth(cell: str) -> bool:
    if cell not in ("true", "false"):
        raise ValueError(f"{cell!r} is neither true nor false")
    return cell == "true"


def _number(cell: str) -> float:
    value = float(cell)
    if not math.isfinite(value):
        raise ValueError(f"{cell!r} is not finite")
    return value


_KINDS: Mapping[type, tuple[str, Callable[[str], Any]]] = {
    str: ("text", str),
    int: ("whole number", int),
    float: ("number", _number),
    bool: ("true or false", _truth),
    Path: ("path", Path),
}
