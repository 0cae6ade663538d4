"""Checks of the options of networks: what a study file or a model card may ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bids_xai.errors import UsageError


def whole_number(name: str, value: Any, least: int = 1) -> int:
    """A whole number of at least ``least``; ``UsageError`` names the option."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UsageError(
            f"The option {name} is {value!r}", fix=f"give a whole number of {least} or more"
        )
    return value


def whole_numbers(name: str, values: Any, length: int) -> tuple[int, ...]:
    """``length`` whole numbers of at least 1; ``UsageError`` names the option."""
    listed = isinstance(values, Sequence) and not isinstance(values, str)
    if not listed or len(values) != length:
        raise UsageError(f"The option {name} is {values!r}", fix=f"give {length} whole numbers")
    return tuple(whole_number(name, value) for value in values)


def share(name: str, value: Any) -> float:
    """A number from 0 up to, but not, 1; ``UsageError`` names the option."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < 1:
        raise UsageError(f"The option {name} is {value!r}", fix="give a number from 0 to below 1")
    return float(value)
