"""Study files: read a preset or a user's own."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path

from bids_xai.errors import BadDataError, NoInputError, did_you_mean
from bids_xai.studies.reading import check_changes, read_table, read_toml, refusal
from bids_xai.studies.rules import broken_rule
from bids_xai.studies.tables import Configuration, Plain, Study, merged, nested


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
    study: Study = read_table(Study, read_toml(file), "", file)
    study = _with_checked_changes(study, file)
    if study.splits.file:  # is found from where the study file lies
        beside = str(file.parent / study.splits.file)
        study = replace(study, splits=replace(study.splits, file=beside))
    _check(study, file)
    for configuration in study.configurations:
        of_configuration = study.of(configuration)
        _check(of_configuration, file)
        _check_search(of_configuration, file)
    return study


def _check_search(study: Study, file: Path) -> None:
    """Raise for a value of ``[search.values]`` that could not stand in the file itself."""
    for key, values in study.search.values.items():
        for value in values:
            changes = nested(key, value)
            checked = {
                name: check_changes(getattr(study, name), table, f"search.values: {name}", file)
                for name, table in changes.items()
            }
            rule = broken_rule(merged(study, checked))
            if rule:
                raise refusal(
                    f"with {value!r} for '{key}' the study breaks a rule: {rule}",
                    "correct or remove that value",
                    f"search.values.{key}",
                    file,
                )


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
