"""The kinds of cohort: a table of names, and what each kind consists of.

Importing this module is cheap: the command line offers the names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

KINDS = {
    "megre": "bids_xai.simulation.megre:KIND",
    "t1w": "bids_xai.simulation.t1w:KIND",
    "flair": "bids_xai.simulation.flair:KIND",
    "digits": "bids_xai.simulation.digits:KIND",
}


TRUTH = "derivatives/truth"


@dataclass(frozen=True)
class Visit:
    """What one visit leaves: files (path relative to the cohort -> content) and a row of truth."""

    files: Mapping[str, bytes]
    truth: Mapping[str, Any]


@dataclass(frozen=True)
class Derivative:
    """A derivative dataset beside the raw one: its name, README and .bidsignore."""

    name: str
    readme: str
    ignored: str = ""


@dataclass(frozen=True)
class CohortKind:
    """One kind of cohort.

    draw : options -> people; visit : person, session (from 1), options, stem of names -> files
    row : person -> cells of participants.tsv, but for the first column
    participant_columns, truth_columns : column -> entry of the JSON beside the table
    session_row : person, session -> cells of sessions.tsv, ``None`` where there is no such table
    readme : of the raw dataset, with ``{version}`` and ``{options}``
    derivatives : folder -> dataset, among them the truth
    """

    draw: Callable[[Any], Sequence[Any]]
    visit: Callable[[Any, int, Any, str], Visit]
    row: Callable[[Any], dict[str, Any]]
    participant_columns: Mapping[str, Any]
    truth_columns: Mapping[str, Any]
    readme: str
    derivatives: Mapping[str, Derivative]
    session_row: Callable[[Any, int], dict[str, Any]] | None = None
    session_columns: Mapping[str, Any] = field(default_factory=dict)
    license: str = "CC0"


def load_kind(name: str) -> CohortKind:
    """Return a kind by its name in ``KINDS``."""
    module, _, attribute = KINDS[name].partition(":")
    kind: CohortKind = getattr(import_module(module), attribute)
    return kind
