"""The project's docstrings as reStructuredText: ``name : text`` lines become parameters."""

from __future__ import annotations

import re
from typing import Any

_PARAMETER = re.compile(r"(\w+(?:, \w+)*) : (.*)")
_NEW_PARAGRAPH = re.compile(r"(Returns?|Raises?|Source)\b")


def fields_from_plain_text(lines: list[str]) -> list[str]:
    """Return docstring lines with ``name : text`` written as ``:param name: text``."""
    result: list[str] = []
    inside = False  # of a list of parameters
    for line in lines:
        match = _PARAMETER.fullmatch(line)
        if match:
            if not inside and result and result[-1]:
                result.append("")
            result += [f":param {name}: {match[2]}" for name in match[1].split(", ")]
            inside = True
            continue
        if inside and line and not line.startswith(" "):
            inside = False
            result.append("")
        elif not line:
            inside = False
        elif _NEW_PARAGRAPH.match(line) and result and result[-1].endswith("."):
            result.append("")
        result.append(line)
    return result


def _process(_app: Any, _what: str, _name: str, _obj: Any, _opt: Any, lines: list[str]) -> None:
    lines[:] = [_without_bars(line) for line in fields_from_plain_text(lines)]


def _without_bars(line: str) -> str:
    """Escape vertical bars (sizes of sets), which would mark a substitution; not in literals."""
    parts = line.split("``")
    return "``".join(p if i % 2 else p.replace("|", r"\|") for i, p in enumerate(parts))


def setup(app: Any) -> dict[str, Any]:
    """Read docstrings our way."""
    app.connect("autodoc-process-docstring", _process)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
