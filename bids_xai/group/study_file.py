"""``study.json``: what a study is, written by the first step, and what later steps learn of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import bids_xai
from bids_xai.bids.files import write_json
from bids_xai.bids.layout import read_json
from bids_xai.errors import BadDataError
from bids_xai.group.context import GroupContext


def write_study(context: GroupContext, **known: Any) -> Path:
    """Write classes, configurations, all settings and what is ``known`` of the cohort.

    What later steps added stays.
    """
    study = context.study
    return add_to_study(
        context,
        study=study.name,
        template=context.template,
        classes=list(study.target.names),
        positive=study.target.positive_name,
        method=study.attribution.methods[0],
        configurations=[asdict(c) for c in study.configurations],
        seed=context.settings.random_seed,
        sloppy=context.settings.sloppy,
        versions=_read(context).get("versions", {}) | {"bids_xai": bids_xai.__version__},
        settings=study.as_plain(),
        **known,
    )


def add_to_study(context: GroupContext, **known: Any) -> Path:
    """Write what a step found out into ``study.json``; other keys stay as they are."""
    return write_json(_file(context), {**_read(context), **known})


def _file(context: GroupContext) -> Path:
    return context.folder / "study.json"


def _read(context: GroupContext) -> dict[str, Any]:
    """What the file holds; nothing where it is damaged, since it is written anew."""
    file = _file(context)
    try:
        return read_json(file) if file.is_file() else {}
    except BadDataError:
        return {}
