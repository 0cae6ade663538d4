"""Tables whose keys are not known here."""

from __future__ import annotations

from typing import Any

Plain = dict[str, Any]
"""A table whose keys are checked by whom it is for: a network, a method, another table."""


def nested(key: str, value: Any) -> Plain:
    """Return the value under a dotted key as tables in each other."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)
