"""What ``study.json`` says of a study, as records; an older file may lack any of it."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from bids_xai.bids.integrity import STUDY_AGAIN, check_seal
from bids_xai.studies import tables
from bids_xai.tables.numbers import read_object
from bids_xai.tables.spray import ControlSummary, MeanAri, TileSheet


@dataclass(frozen=True, kw_only=True)
class ConfigurationDescription:
    """A configuration of the study; None where the file does not say.

    input, model, training : keys that differ from the study's own tables
    """

    id: str
    skull_strip: bool | None = None
    relevance_guided: bool | None = None
    input: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class AnalysisDescription:
    """What the file says of an analysis of clusters, as
    :class:`~bids_xai.tables.spray.AnalysisSummary` does; None where it does not."""

    n_clusters: int | None = None
    notes: tuple[str, ...] = ()
    ari: MeanAri | None = None
    same_number: float | None = None
    tile: TileSheet | None = None
    inputs: ControlSummary | None = None


@dataclass(frozen=True, kw_only=True)
class NearCopyDescription:
    """Two scans of different participants whose maps are very much alike."""

    first: str = ""
    second: str = ""
    correlation: float = 0.0


@dataclass(frozen=True, kw_only=True)
class StudyDescription:
    """A study as its steps described it.

    is_written : whether there is a file that says anything
    template, resolution : of the group level, the latter in mm; method : the first one
    atlas : of the tables by region
    sloppy_scans : number of scans that the participant level prepared with ``--sloppy``
    near_copies : pairs of scans that may be of one person
    versions : software → version
    settings : all settings, with defaults for keys that the file does not have; None where it
        has none
    recorded_settings : the same as it stands in the file, to be listed
    spray : ``<configuration>_<space>`` → analysis
    """

    is_written: bool = False
    template: str | None = None
    resolution: int | None = None
    classes: tuple[str, ...] = ()
    positive: str | None = None
    method: str | None = None
    atlas: str | None = None
    configurations: tuple[ConfigurationDescription, ...] = ()
    seed: int | None = None
    sloppy: bool = False
    sloppy_scans: int | None = None
    near_copies: tuple[NearCopyDescription, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    settings: tables.Study | None = None
    recorded_settings: Mapping[str, Any] = field(default_factory=dict)
    spray: Mapping[str, AnalysisDescription] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> StudyDescription:
        """Return what a file says; all empty where there is none.

        Raises :class:`BadDataError` for a file that is no JSON object, or damaged.
        """
        content = read_object(path)
        check_seal(content, path, STUDY_AGAIN)
        return cls.from_plain(content)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> StudyDescription:
        """Return the description that plain values of JSON hold; what else they hold is left."""
        versions = plain.get("versions") or {}
        if not isinstance(versions, Mapping):  # of early files: that of this package alone
            versions = {"bids_xai": versions}
        settings = plain.get("settings")
        description: StudyDescription = record_of(
            cls,
            {
                **plain,
                "is_written": bool(plain),
                "versions": {str(name): str(version) for name, version in versions.items()},
                "settings": settings or None,
                "recorded_settings": settings if isinstance(settings, Mapping) else {},
            },
        )
        return description


def record_of(kind: Any, plain: Any) -> Any:
    """Return a record of plain values by the types of its fields.

    A field that is absent has its default, else what is empty of its type; other keys are left.
    """
    values = plain if isinstance(plain, Mapping) else {}
    hints = get_type_hints(kind)
    fields = {}
    for entry in dataclasses.fields(kind):
        if entry.name in values:
            fields[entry.name] = _value(hints[entry.name], values.get(entry.name))
        elif entry.default is entry.default_factory is dataclasses.MISSING:
            fields[entry.name] = _value(hints[entry.name], None)
    return kind(**fields)


def _value(hint: Any, plain: Any) -> Any:
    """A value as its type asks for it; scalars stay as they are, so that numbers read alike."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        inner = next(part for part in get_args(hint) if part is not type(None))
        return None if plain is None else _value(inner, plain)
    if dataclasses.is_dataclass(hint):
        return record_of(hint, plain)
    if origin is tuple:
        return tuple(_value(get_args(hint)[0], item) for item in plain or ())
    if isinstance(origin, type) and issubclass(origin, Mapping):
        inner = get_args(hint)[1]
        items = plain.items() if isinstance(plain, Mapping) else ()
        return {str(key): _value(inner, value) for key, value in items}
    if hint is str:
        return "" if plain is None else str(plain)
    return hint() if plain is None and isinstance(hint, type) else plain
