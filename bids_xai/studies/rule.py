"""A rule that a study must keep, and the value of a key."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bids_xai.studies.tables import Study


@dataclass(frozen=True)
class StudyRule:
    """What a study must be, in words as the user reads them, and whether one is so."""

    message: str
    holds: Callable[[Study], bool]


def value_at(study: Study, key: str) -> Any:
    """Return the value under a dotted key, None where there is none or its table is absent."""
    value: Any = study
    for part in key.split("."):
        if dataclasses.is_dataclass(value):
            is_field = any(field.name == part for field in dataclasses.fields(value))
            value = getattr(value, part) if is_field else None
        else:
            value = value.get(part) if isinstance(value, Mapping) else None
    return value
