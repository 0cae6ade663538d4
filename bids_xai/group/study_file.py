"""``study.json``: what a study is, written by the first step, and what later steps learn of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import bids_xai
from bids_xai.bids.files import write_json
from bids_xai.bids.layout import read_json
from bids_xai.errors import BadDataError
from bids_xai.studies.tables import Study


def write_study(
    folder: Path, study: Study, *, template: str, seed: int, sloppy: bool, **entries: Any
) -> Path:
    """Write classes, configurations and all settings of a study, and entries about its cohort.

    folder : of the study's results; template : empty where there is none
    What later steps added stays.
    """
    return add_to_study(
        folder,
        study=study.name,
        template=template,
        classes=list(study.target.names),
        positive=study.target.positive_name,
        method=study.attribution.methods[0],
        configurations=[asdict(configuration) for configuration in study.configurations],
        seed=seed,
        sloppy=sloppy,
        versions=_read(folder).get("versions", {}) | {"bids_xai": bids_xai.__version__},
        settings=study.as_plain(),
        **entries,
    )


def add_to_study(folder: Path, **entries: Any) -> Path:
    """Write what a step learnt into ``study.json`` of a folder; other keys stay as they are."""
    return write_json(_file(folder), {**_read(folder), **entries})


def is_in_study(folder: Path, *keys: str) -> bool:
    """Tell whether ``study.json`` of a folder has all of the keys, whatever their values."""
    return {*keys} <= _read(folder).keys()


def _file(folder: Path) -> Path:
    return folder / "study.json"


def _read(folder: Path) -> dict[str, Any]:
    """What the file holds; nothing where it is damaged, since it is written anew."""
    file = _file(folder)
    try:
        return read_json(file) if file.is_file() else {}
    except BadDataError:
        return {}
