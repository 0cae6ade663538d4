"""``study.json``: what a study is, written by the first step, and what later steps learn of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import bids_xai
from bids_xai.bids.files import write_json
from bids_xai.bids.integrity import STUDY_AGAIN, check_seal, sealed
from bids_xai.bids.layout import read_json
from bids_xai.errors import BadDataError
from bids_xai.studies.tables import Study


def write_study(
    folder: Path, study: Study, *, template: str, seed: int, sloppy: bool, **entries: Any
) -> Path:
    """Write classes, configurations and all settings of a study, and entries about its cohort.

    folder : of the study's results; template : empty where there is none
    What later steps added stays, unless the file is damaged.
    """
    before = _read(folder, damaged_is_empty=True)
    content = dict(
        study=study.name,
        template=template,
        classes=list(study.target.names),
        positive=study.target.positive_name,
        method=study.attribution.methods[0],
        configurations=[asdict(configuration) for configuration in study.configurations],
        seed=seed,
        sloppy=sloppy,
        versions=before.get("versions", {}) | {"bids_xai": bids_xai.__version__},
        settings=study.as_plain(),
        **entries,
    )
    return _write(folder, before | content)


def add_to_study(folder: Path, **entries: Any) -> Path:
    """Write what a step learnt into ``study.json`` of a folder; other keys stay as they are.

    Raises :class:`BadDataError` where the file is damaged.
    """
    return _write(folder, {**_read(folder), **entries})


def is_in_study(folder: Path, *keys: str) -> bool:
    """Tell whether ``study.json`` of a folder has all of the keys, whatever their values.

    Raises as :func:`add_to_study`.
    """
    return {*keys} <= _read(folder).keys()


def _file(folder: Path) -> Path:
    return folder / "study.json"


def _write(folder: Path, content: Mapping[str, Any]) -> Path:
    return write_json(_file(folder), sealed(content))


def _read(folder: Path, *, damaged_is_empty: bool = False) -> dict[str, Any]:
    file = _file(folder)
    try:
        content = read_json(file) if file.is_file() else {}
        check_seal(content, file, STUDY_AGAIN)
    except BadDataError:
        if damaged_is_empty:
            return {}
        raise
    return content
