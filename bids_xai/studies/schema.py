"""What a study file may say: typed tables, read from TOML, every mistake named with its key."""

from __future__ import annotations

import dataclasses
import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, get_type_hints

from bids_xai.attribution import METHODS
from bids_xai.errors import BadDataError, NoInputError
from bids_xai.models import MODELS

SPRAY_SPACES = ("T1w", "template")
_KIND_NAMES: dict[Any, str] = {
    tuple[float, ...]: "a list of numbers",
    tuple[str, ...]: "a list of texts",
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    str: "text",
}


@dataclass(frozen=True)
class Target:
    """The column of participants.tsv to predict, and the values of the two classes."""

    column: str
    negative: str
    positive: str


@dataclass(frozen=True)
class Input:
    """Which maps a network sees: min(map, maximum) / scale, on cubic voxels.

    ``maximum`` and ``scale`` are in units of the map (1/s for R2*); a ``maximum`` of 0 keeps all
    values, a ``voxel_mm`` of 0 the voxels of the T1w image.
    """

    suffix: str = "R2starmap"
    space: str = "T1w"
    scale: float = 40.0
    maximum: float = 0.0
    voxel_mm: float = 0.0


@dataclass(frozen=True)
class Splits:
    """Random splits of the participants within each class: train, validation, test."""

    scheme: str = "random"
    repeats: int = 10
    fractions: tuple[float, ...] = (0.70, 0.15, 0.15)


@dataclass(frozen=True)
class Model:
    """The network."""

    architecture: str = "graz"


@dataclass(frozen=True)
class Plateau:
    """What happens when the validation loss stops falling; ``min`` is the lowest rate."""

    patience: int = 5
    factor: float = 0.3
    min: float = 1e-6
    min_delta: float = 1e-4
    reset_weights: bool = True


@dataclass(frozen=True)
class Training:
    """The recipe (see ``training.recipe.Recipe``)."""

    epochs: int = 60
    batch_size: int = 6
    accumulate: int = 1
    learning_rate: float = 1e-3
    guidance_weight: float = 1.0
    guidance_after: int = 0
    plateau: Plateau = field(default_factory=Plateau)


@dataclass(frozen=True)
class Configuration:
    """One way to train: with or without skull stripping and relevance guidance."""

    id: str
    skull_strip: bool = False
    relevance_guided: bool = False


@dataclass(frozen=True)
class Attribution:
    """How test scans are explained."""

    methods: tuple[str, ...] = ("lrp-zplus",)


@dataclass(frozen=True)
class Spray:
    """Spectral relevance analysis; maps finer than ``voxel_mm`` are resampled to it."""

    neighbours: int = 12
    spaces: tuple[str, ...] = SPRAY_SPACES
    voxel_mm: float = 2.0
    max_clusters: int = 9


@dataclass(frozen=True)
class Study:
    """A whole study file."""

    name: str
    target: Target
    configurations: tuple[Configuration, ...]
    input: Input = field(default_factory=Input)
    splits: Splits = field(default_factory=Splits)
    model: Model = field(default_factory=Model)
    training: Training = field(default_factory=Training)
    attribution: Attribution = field(default_factory=Attribution)
    spray: Spray = field(default_factory=Spray)

    def as_plain(self) -> dict[str, Any]:
        """Return the study as nested plain values."""
        return dataclasses.asdict(self)


def preset_names() -> list[str]:
    """Return the names of the presets that ship with the package."""
    folder = resources.files("bids_xai.studies")
    names = (entry.name for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return sorted(name.removesuffix(".toml") for name in names)


def load_study(name_or_file: str) -> Study:
    """Read a preset by name, or a study file by path.

    Raises :class:`NoInputError` where there is neither, :class:`BadDataError` naming file, key and
    what is allowed.
    """
    if name_or_file in preset_names():
        file = Path(str(resources.files("bids_xai.studies"))) / f"{name_or_file}.toml"
    else:
        file = Path(name_or_file)
    if not file.is_file():
        raise NoInputError(
            f"no study '{name_or_file}'",
            fix=f"use a preset ({', '.join(preset_names())}) or the path of a study file",
        )
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadDataError(
            f"the study file is not valid TOML: {error}", file=file, fix="correct that line"
        ) from error
    study: Study = _table(Study, content, "", file)
    _check_values(study, file)
    return study


def _table(cls: Any, content: Any, where: str, file: Path) -> Any:
    """Build a dataclass from a TOML table, checking keys and types."""
    if not isinstance(content, Mapping):
        raise BadDataError(f"[{where}] must be a table", file=file, fix=f"write [{where}]")
    hints = get_type_hints(cls)
    allowed = [f.name for f in dataclasses.fields(cls)]
    for key in content:
        if key not in allowed:
            raise BadDataError(
                f"unknown key '{where + '.' if where else ''}{key}'",
                file=file,
                fix=f"allowed here: {', '.join(allowed)}",
            )
    values = {
        key: _value(hints[key], value, f"{where}.{key}" if where else key, file)
        for key, value in content.items()
    }
    missing = [
        f.name
        for f in dataclasses.fields(cls)
        if f.name not in values
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise BadDataError(
            f"missing key '{where + '.' if where else ''}{missing[0]}'", file=file, fix="add it"
        )
    return cls(**values)


def _value(hint: Any, value: Any, key: str, file: Path) -> Any:
    if dataclasses.is_dataclass(hint):
        return _table(hint, value, key, file)
    if hint == tuple[Configuration, ...]:
        if not isinstance(value, list) or not value:
            raise BadDataError(
                f"'{key}' must hold at least one table", file=file, fix=f"write [[{key}]]"
            )
        if not all(isinstance(item, Mapping) for item in value):
            raise BadDataError(f"[[{key}]] must be a table", file=file, fix=f"write [[{key}]]")
        return tuple(_table(Configuration, item, key, file) for item in value)
    if hint == tuple[float, ...]:
        good = isinstance(value, list) and all(_is_number(item) for item in value)
    elif hint == tuple[str, ...]:
        good = isinstance(value, list) and all(isinstance(item, str) for item in value)
    elif hint is float:
        good = _is_number(value)
    elif hint is int:
        good = isinstance(value, int) and not isinstance(value, bool)
    else:
        good = isinstance(value, hint)
    if not good:
        name = _KIND_NAMES[hint]
        raise BadDataError(f"'{key}' is {value!r}", file=file, fix=f"it must be {name}")
    if hint is float:
        return float(value)
    if hint == tuple[float, ...]:
        return tuple(float(item) for item in value)
    return tuple(value) if hint == tuple[str, ...] else value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check_values(study: Study, file: Path) -> None:
    ids = [configuration.id for configuration in study.configurations]
    rules = {
        "name must be letters, digits or -": re.fullmatch(r"[A-Za-z0-9-]+", study.name),
        "target.negative and target.positive must differ":
            study.target.negative != study.target.positive,
        "configurations must have different ids of letters and digits":
            len(set(ids)) == len(ids) and all(name.isascii() and name.isalnum() for name in ids),
        'input.suffix must be "R2starmap"': study.input.suffix == "R2starmap",
        'input.space must be "T1w"': study.input.space == "T1w",
        "input.scale must be above 0": study.input.scale > 0,
        "input.maximum must be 0 or above": study.input.maximum >= 0,
        "input.voxel_mm must be 0 or above": study.input.voxel_mm >= 0,
        "splits.repeats must be 1 or more": study.splits.repeats >= 1,
        "splits.fractions must be three shares (train, validation, test) that sum to 1":
            len(study.splits.fractions) == 3 and min(study.splits.fractions) > 0
            and abs(sum(study.splits.fractions) - 1) < 1e-6,
        f"model.architecture must be one of {', '.join(MODELS)}":
            study.model.architecture in MODELS,
        f"attribution.methods must be among {', '.join(METHODS)}":
            bool(study.attribution.methods) and set(study.attribution.methods) <= set(METHODS),
        "training.epochs, batch_size and accumulate must be 1 or more": min(
            study.training.epochs, study.training.batch_size, study.training.accumulate) >= 1,
        "training.learning_rate and plateau.min must be above 0": min(
            study.training.learning_rate, study.training.plateau.min) > 0,
        "training.guidance_weight and plateau.min_delta must be 0 or above": min(
            study.training.guidance_weight, study.training.plateau.min_delta) >= 0,
        "training.plateau.factor must lie between 0 and 1":
            0 < study.training.plateau.factor < 1,
        "training.plateau.patience must be 1 or more": study.training.plateau.patience >= 1,
        'splits.scheme must be "random"': study.splits.scheme == "random",
        f"spray.spaces must be among {', '.join(SPRAY_SPACES)}":
            set(study.spray.spaces) <= set(SPRAY_SPACES),
        "spray.neighbours must be 2 or more": study.spray.neighbours >= 2,
        "spray.max_clusters must be 1 or more": study.spray.max_clusters >= 1,
        "spray.voxel_mm must be above 0": study.spray.voxel_mm > 0,
    }  # fmt: skip
    rules |= {
        f"{key} must be a finite number": math.isfinite(value)
        for key, value in _numbers(study.as_plain(), "")
    }
    for rule, holds in rules.items():
        if not holds:
            raise BadDataError(f"the study file breaks a rule: {rule}", file=file, fix="correct it")


def _numbers(table: Mapping[str, Any], where: str) -> Iterator[tuple[str, float]]:
    """Yield key and value of every number of nested tables and lists."""
    for name, value in table.items():
        key = f"{where}{name}"
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{key}.")
        else:
            items = value if isinstance(value, tuple) else (value,)
            yield from ((key, item) for item in items if isinstance(item, float))
