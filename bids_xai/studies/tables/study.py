"""A whole study file, and the study as one of its configurations sees it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from bids_xai.studies.tables.analysis import Attribution, Quality, Spray
from bids_xai.studies.tables.cohort import Cohort, Input, Splits, Target
from bids_xai.studies.tables.plain import Plain
from bids_xai.studies.tables.training import Baseline, Configuration, Model, Search, Training


@dataclass(frozen=True)
class Study:
    """A whole study file."""

    name: str
    target: Target
    configurations: tuple[Configuration, ...]
    input: Input = field(default_factory=Input)
    cohort: Cohort = field(default_factory=Cohort)
    splits: Splits = field(default_factory=Splits)
    model: Model = field(default_factory=Model)
    training: Training = field(default_factory=Training)
    baselines: tuple[Baseline, ...] = ()
    search: Search = field(default_factory=Search)
    attribution: Attribution = field(default_factory=Attribution)
    quality: Quality = field(default_factory=Quality)
    spray: Spray = field(default_factory=Spray)

    def as_plain(self) -> Plain:
        """Return the study as nested plain values."""
        return dataclasses.asdict(self)

    def of(self, configuration: Configuration) -> Study:
        """Return the study as this configuration sees it: its own keys put in."""
        return dataclasses.replace(
            self,
            input=merged(self.input, configuration.input),
            model=merged(self.model, configuration.model),
            training=merged(self.training, configuration.training),
        )


def merged(table: Any, changes: Plain) -> Any:
    """Return ``table`` with nested ``changes``, whose keys and types have been checked."""
    values = {}
    for key, value in changes.items():
        old = getattr(table, key)
        nested = dataclasses.is_dataclass(old) and isinstance(value, dict)
        values[key] = merged(old, value) if nested else value
    return dataclasses.replace(table, **values)
