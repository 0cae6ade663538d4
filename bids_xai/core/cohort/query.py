"""Rows of a table that meet a condition, in a small language that runs nothing."""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bids_xai.arrays import Bools
from bids_xai.core.cohort.cells import is_missing, number_of
from bids_xai.errors import BadDataError


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Who meets a query.

    mask : (n,) bool
    reasons : (n,) why an entry does not; None for one that does
    """

    mask: Bools
    reasons: tuple[str | None, ...]


def select(rows: Sequence[Mapping[str, str]], query: str) -> Selection:
    """Which rows of a table meet a query such as ``age >= 60 and site in ["A", "B"]``.

    rows : column -> text, one mapping a row
    query : comparisons (``== != < <= > >=``, ``in``, ``not in`` with a list) of columns with
        numbers or quoted texts, joined by ``and``, ``or``, ``not`` and parentheses. A name that
        is no Python name, or a word of Python's (``class``), stands in backquotes

    A number compares by number, a text as text; two columns by number where both hold one. A
    comparison with a missing value is neither true nor false: ``not`` does not make it true, and
    a row that hangs on it is left out. ``age == "n/a"`` asks whether the value is missing.

    Raises ``BadDataError`` with query and position for anything else, an unknown column, or a
    text where the query has a number.
    """
    condition, used = _Query(query, sorted({name for row in rows for name in row})).compiled()
    outcomes = [condition(row) for row in rows]
    reasons: list[str | None] = []
    for row, outcome in zip(rows, outcomes, strict=True):
        missing = [name for name in used if is_missing(row.get(name))]
        reason = f"does not meet: {query}"
        if outcome is None:
            reason = f"{', '.join(missing)} missing, needed for: {query}"
        reasons.append(None if outcome else reason)
    return Selection(
        mask=np.array([outcome is True for outcome in outcomes], dtype=bool), reasons=tuple(reasons)
    )


Condition = Callable[[Mapping[str, str]], bool | None]
_Test = Callable[[Any, Any], bool]

_COMPARISONS: dict[type[ast.cmpop], _Test] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_IN_QUERY = re.compile(r"""(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|`(?P<name>[^`]+)`|\#""")


class _Query:
    """A query, read with Python's grammar and translated node by node; nothing is evaluated."""

    def __init__(self, query: str, columns: Sequence[str]) -> None:
        self._query = query
        self._columns = columns
        self._quoted: dict[str, str] = {}
        self._used: list[str] = []
        self._indent = 0
        self._text = ""

    def compiled(self) -> tuple[Condition, list[str]]:
        """The condition: row -> true, false or, for want of a value, None; columns it uses."""
        text = _IN_QUERY.sub(self._stand_in, re.sub(r"\s", " ", self._query))
        self._indent = len(text) - len(text.lstrip())
        self._text = text.strip()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a wrong query is an error below, or none
                tree = ast.parse(self._text, mode="eval")
            return self._condition(tree.body), self._used
        except SyntaxError as error:
            raise self._error("is not a query", (error.offset or 1) - 1) from error
        except (ValueError, RecursionError, MemoryError) as error:
            raise self._error("cannot be read", 0) from error

    def _stand_in(self, match: re.Match[str]) -> str:
        """A Python name as long as the backquoted one, so that positions stay."""
        if match.group("text") is not None:
            return match[0]
        if match.group("name") is None:
            raise self._error("has a # outside quotes", match.start())
        code = 0x4E00  # letters to Python, and hardly part of a query
        while chr(code) in self._query or any(chr(code) in name for name in self._quoted):
            code += 1
        stand_in = chr(code).ljust(len(match[0]), "_")
        self._quoted[stand_in] = match.group("name")
        return stand_in

    def _condition(self, node: ast.expr) -> Condition:
        if isinstance(node, ast.BoolOp):
            parts = [self._condition(part) for part in node.values]
            return _joined(parts, decisive=isinstance(node.op, ast.Or))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return _negated(self._condition(node.operand))
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            pairs = [
                self._comparison(left, sign, right)
                for left, sign, right in zip(sides, node.ops, sides[1:], strict=False)
            ]
            return _joined(pairs, decisive=False)
        raise self._unsupported(node, "a comparison is needed here")

    def _comparison(self, left: ast.expr, sign: ast.cmpop, right: ast.expr) -> Condition:
        if isinstance(sign, ast.In | ast.NotIn):
            if not isinstance(right, ast.List | ast.Tuple | ast.Set) or not right.elts:
                raise self._unsupported(right, "a list such as [1, 2] is needed here")
            equal = [self._test(left, operator.eq, item) for item in right.elts]
            any_equal = _joined(equal, decisive=True)
            return any_equal if isinstance(sign, ast.In) else _negated(any_equal)
        if type(sign) not in _COMPARISONS:
            raise self._unsupported(right, "compare with ==, !=, <, <=, >, >=, in or not in")
        return self._test(left, _COMPARISONS[type(sign)], right)

    def _test(self, left: ast.expr, test: _Test, right: ast.expr) -> Condition:
        a, b = self._side(left), self._side(right)
        if not isinstance(a, _Column) and not isinstance(b, _Column):
            raise self._unsupported(left, "a column is needed on one side")
        asks_for_missing = any(isinstance(side, str) and is_missing(side) for side in (a, b))

        def condition(row: Mapping[str, str]) -> bool | None:
            cells = [row.get(side.name) if isinstance(side, _Column) else side for side in (a, b)]
            if asks_for_missing:
                return test(is_missing(cells[0]), is_missing(cells[1]))
            if any(map(is_missing, cells)):
                return None
            numbers = [number_of(cell) for cell in cells]
            if any(isinstance(side, float) for side in (a, b)):
                for side, cell, number in zip((a, b), cells, numbers, strict=True):
                    if isinstance(side, _Column) and number is None:
                        raise self._error(
                            f"compares '{side.name}' with a number, but it contains '{cell}'",
                            side.position,
                            fix="correct the table, or compare with a text in quotes",
                        )
                return test(*numbers)
            if isinstance(a, _Column) and isinstance(b, _Column) and None not in numbers:
                return test(*numbers)
            return test(*map(str, cells))

        if asks_for_missing and test not in (operator.eq, operator.ne):
            raise self._unsupported(left, "ask for missing values with == or !=")
        return condition

    def _side(self, node: ast.expr) -> _Column | str | float:
        if isinstance(node, ast.Name):
            name = self._quoted.get(node.id, node.id)
            if name not in self._columns:
                raise self._error(f"names an unknown column '{name}'", self._position(node))
            if name not in self._used:
                self._used.append(name)
            return _Column(name, self._position(node))
        sign = 1
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            node, sign = node.operand, -1
        if isinstance(node, ast.Constant):
            value = node.value
            if isinstance(value, str) and sign == 1:
                return value
            if isinstance(value, int | float) and not isinstance(value, bool):
                return sign * float(value)
        raise self._unsupported(node, "a column, a number or a text in quotes is needed here")

    def _position(self, node: ast.expr) -> int:
        """Place in the query; the parser counts bytes."""
        return len(self._text.encode()[: node.col_offset].decode())

    def _unsupported(self, node: ast.expr, problem: str) -> BadDataError:
        return self._error(f"has something that is not understood: {problem}", self._position(node))

    def _error(self, problem: str, position: int, fix: str | None = None) -> BadDataError:
        columns = ", ".join(self._columns)
        return BadDataError(
            f"The query «{self._query}» {problem} (at character {self._indent + position + 1})",
            fix=fix
            or f'compare columns, such as age >= 60 and sex == "F"; columns are {columns}, those '
            "with blanks or that are words of Python in backquotes",
        )


@dataclass(frozen=True)
class _Column:
    name: str
    position: int


def _joined(parts: Sequence[Condition], *, decisive: bool) -> Condition:
    """``or`` (decisive is True) or ``and`` (False) of conditions that may be None."""
    if len(parts) == 1:
        return parts[0]

    def condition(row: Mapping[str, str]) -> bool | None:
        outcomes = [part(row) for part in parts]
        if decisive in outcomes:
            return decisive
        return None if None in outcomes else not decisive

    return condition


def _negated(part: Condition) -> Condition:
    def condition(row: Mapping[str, str]) -> bool | None:
        outcome = part(row)
        return None if outcome is None else not outcome

    return condition
