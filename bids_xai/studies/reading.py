"""From the content of a TOML file to typed tables; every mistake is named with its key and line."""

from __future__ import annotations

import dataclasses
import math
import re
import tomllib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from bids_xai.errors import BadDataError, did_you_mean

_KIND_NAMES: dict[Any, str] = {
    tuple[float, ...]: "a list of numbers",
    tuple[int, ...]: "a list of whole numbers",
    tuple[str, ...]: "a list of texts",
    dict[str, Any]: "a table",
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    str: "text",
}

_MOST_BYTES = 1_000_000
_MOST_LEVELS = 12
_LARGEST = 1e15
"""Numbers up to here are exact, and none of a study comes near."""


def read_table(cls: Any, content: Any, where: str, file: Path) -> Any:
    """Build a dataclass from a TOML table, checking keys and types.

    where : dotted key of the table, empty for the whole file
    Raises :class:`BadDataError` naming file, key and line, and what is allowed there.
    """
    if not isinstance(content, Mapping):
        raise refusal(f"'{where}' must be a table", f"write [{where}]", where, file)
    hints = get_type_hints(cls)
    allowed = [f.name for f in dataclasses.fields(cls)]
    for key in content:
        if key not in allowed:
            name = _dotted(where, key)
            raise refusal(
                f"unknown key '{name}'",
                f"allowed here: {', '.join(allowed)}{did_you_mean(key, allowed)}",
                name,
                file,
            )
    values = {
        key: _value(hints[key], value, _dotted(where, key), file) for key, value in content.items()
    }
    for needed in dataclasses.fields(cls):
        optional = (needed.default, needed.default_factory) != (dataclasses.MISSING,) * 2
        if needed.name not in values and not optional:
            name = _dotted(where, needed.name)
            raise refusal(f"missing key '{name}'", "add it", where, file)
    return cls(**values)


def read_toml(file: Path) -> dict[str, Any]:
    """Return the content of a TOML file as nested plain values.

    Raises :class:`BadDataError` for what is no TOML, for a file too large to be one of settings,
    tables nested deeper than any that means something, and numbers that no setting takes.
    """
    if file.stat().st_size > _MOST_BYTES:
        raise BadDataError(
            f"the study file has more than {_MOST_BYTES:,} bytes",
            file=file,
            fix="give the TOML file of the study",
        )
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except RecursionError as error:
        raise _too_deep(file) from error
    except ValueError as error:  # no TOML, no UTF-8, or a number of thousands of digits
        raise BadDataError(
            f"the study file is not valid TOML: {error}", file=file, fix="correct that line"
        ) from error
    _check_sizes(content, file)
    return content


def _check_sizes(content: Mapping[str, Any], file: Path) -> None:
    """Raise for what is nested too deep or too large, without recursion."""
    waiting: list[tuple[str, Any, int]] = [("", content, 0)]
    while waiting:
        key, value, level = waiting.pop()
        if level > _MOST_LEVELS:
            raise _too_deep(file)
        if isinstance(value, Mapping):
            waiting += [(_dotted(key, name), item, level + 1) for name, item in value.items()]
        elif isinstance(value, list):
            waiting += [(key, item, level + 1) for item in value]
        elif isinstance(value, int | float) and _LARGEST < abs(value) < math.inf:
            raise refusal(
                f"'{key}' is larger than any setting can be", f"at most {_LARGEST:g}", key, file
            )


def _too_deep(file: Path) -> BadDataError:
    return BadDataError(
        f"the study file has tables or lists in each other, more than {_MOST_LEVELS} deep",
        file=file,
        fix="write them as docs/studies.md shows",
    )


def check_changes(table: Any, changes: Mapping[str, Any], where: str, file: Path) -> dict[str, Any]:
    """Return ``changes`` to a table with values of the right type, as :func:`read_table` does."""
    read = read_table(type(table), {**_required(table), **changes}, where, file)
    return {
        key: check_changes(getattr(table, key), value, _dotted(where, key), file)
        if dataclasses.is_dataclass(getattr(table, key)) and isinstance(value, Mapping)
        else getattr(read, key)
        for key, value in changes.items()
    }


def refusal(problem: str, fix: str, key: str, file: Path) -> BadDataError:
    """One error for a mistake at a key, with the number of its line where it can be found."""
    line = _line_of(key, file)
    return BadDataError(f"{problem}{f' (line {line})' if line else ''}", file=file, fix=fix)


def _required(table: Any) -> dict[str, Any]:
    """Values of those keys that a table cannot do without."""
    return {
        f.name: getattr(table, f.name)
        for f in dataclasses.fields(table)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }


def _dotted(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _line_of(key: str, file: Path) -> int | None:
    """The line that holds the last part of a dotted key, below the header of its table.

    Only where that is beyond doubt: a key that stands once under that header.
    """
    table, _, last = key.rpartition(".")
    header = ""
    numbers = []
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), 1):
        title = re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line)
        if title:
            header = title[1]
            if header == key:
                numbers.append(number)
        elif header == table and re.match(rf"""\s*["']?{re.escape(last)}["']?\s*[=.]""", line):
            numbers.append(number)
    return numbers[0] if len(numbers) == 1 else None


def _value(hint: Any, value: Any, key: str, file: Path) -> Any:
    if get_origin(hint) is types.UnionType:  # a table or key that may be absent
        (hint,) = (kind for kind in get_args(hint) if kind is not type(None))
    if dataclasses.is_dataclass(hint):
        return read_table(hint, value, key, file)
    items = get_args(hint)
    if items and dataclasses.is_dataclass(items[0]):
        if not isinstance(value, list) or not value:
            problem = f"'{key}' must contain at least one table"
            raise refusal(problem, f"write [[{key}]]", key, file)
        return tuple(read_table(items[0], item, key, file) for item in value)
    if not _fits(hint, value):
        raise refusal(f"'{key}' is {value!r}", f"it must be {_KIND_NAMES[hint]}", key, file)
    if hint is float:
        return float(value)
    if get_origin(hint) is tuple:
        return tuple(float(item) if items[0] is float else item for item in value)
    return value


def _fits(hint: Any, value: Any) -> bool:
    if get_origin(hint) is tuple:
        return isinstance(value, list) and all(_fits(get_args(hint)[0], item) for item in value)
    if get_origin(hint) is dict:
        return isinstance(value, dict)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)
