"""Values and names of settings in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bids_xai.tables.numbers import number

_DIGITS = 6


def value_words(value: Any) -> str:
    """Return a value of a setting in words; – for none."""
    if value is None or value in ("", [], (), {}):
        return "–"
    return number(value, _DIGITS)


def listed(names: Iterable[Any]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *first, last = [str(name) for name in names]
    return f"{', '.join(first)} and {last}" if first else last


def options_words(options: Mapping[str, Any]) -> str:
    """``(beta 0.5, start logit)``, nothing for none."""
    words = ", ".join(f"{key} {value_words(value)}" for key, value in options.items())
    return f" ({words})" if words else ""


def flattened(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """``training.plateau.patience`` → 5, one a value; lists of tables by their ids."""
    flat: list[tuple[str, Any]] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat += flattened(value, f"{name}.")
        elif isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
            for i, table in enumerate(value):
                flat += flattened(table, f"{name}.{table.get('id', i)}.")
        else:
            flat.append((name, value))
    return flat
