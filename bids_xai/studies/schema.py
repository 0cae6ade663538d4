"""Study files: read a preset or a user's own."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from importlib import resources
from pathlib import Path

from bids_xai.errors import BadDataError, NoInputError, did_you_mean
from bids_xai.studies.reading import check_changes, read_table
from bids_xai.studies.rules import broken_rule
from bids_xai.studies.tables import Configuration, Plain, Study


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
            f"no study '{name_or_file}'{did_you_mean(name_or_file, preset_names())}",
            fix=f"use a preset ({', '.join(preset_names())}) or the path of a study file",
        )
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadDataError(
            f"the study file is not valid TOML: {error}", file=file, fix="correct that line"
        ) from error
    study: Study = read_table(Study, content, "", file)
    study = _with_checked_changes(study, file)
    if study.splits.file:  # is found from where the study file lies
        beside = str(file.parent / study.splits.file)
        study = replace(study, splits=replace(study.splits, file=beside))
    _check(study, file)
    for configuration in study.configurations:
        _check(study.of(configuration), file)
    return study


def _with_checked_changes(study: Study, file: Path) -> Study:
    """The study with the changes of its configurations read as their tables would be."""

    def checked(name: str, configuration: Configuration) -> Plain:
        table, changes = getattr(study, name), getattr(configuration, name)
        return check_changes(table, changes, f"configurations.{name}", file)

    configurations = tuple(
        replace(
            configuration,
            input=checked("input", configuration),
            model=checked("model", configuration),
            training=checked("training", configuration),
        )
        for configuration in study.configurations
    )
    return replace(study, configurations=configurations)


def _check(study: Study, file: Path) -> None:
    rule = broken_rule(study)
    if rule:
        raise BadDataError(f"the study file breaks a rule: {rule}", file=file, fix="correct it")
