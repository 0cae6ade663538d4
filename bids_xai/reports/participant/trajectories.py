"""How relevance in the leading regions went over the sessions of one participant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bids_xai.bids.names import parse_name
from bids_xai.bids.session_times import AGE, ORDER, SessionTimes, session_times, sessions_file
from bids_xai.figures.trajectories import region_courses
from bids_xai.reports.blocks import Block, Section, Subheading, Table, Text, embedded
from bids_xai.reports.participant.context import Sources
from bids_xai.reports.participant.text_tables import read_table
from bids_xai.tables.numbers import MISSING, number

_LEADING = 6
_KEYS = ("model", "label", "desc", "atlas")  # what all sessions of one course share
_CAUTION = (
    "Sessions differ in position, motion, scanner and registration as well: a change of relevance "
    "is a change of what the model used, and no measure of progression."
)

_Courses = dict[tuple[str, ...], dict[str, Any]]


def trajectories(sources: Sources, sessions: Sequence[tuple[str, Path]]) -> list[Section]:
    """Return the section of the courses; nothing where no model explained two sessions.

    sessions : label and ``anat`` folder of each session
    """
    blocks: list[Block] = []
    for key, tables in _courses(sessions).items():
        if len(tables) > 1:
            blocks += _course(sources, key, tables)
    if not blocks:
        return []
    return [Section("Course over sessions", (*blocks, Text(_CAUTION, "note")))]


def _courses(sessions: Sequence[tuple[str, Path]]) -> _Courses:
    """Model, class, method and atlas → ``ses-X`` → mean density by region of its scans."""
    import pandas as pd

    found: dict[tuple[str, ...], dict[str, list[Any]]] = {}
    for label, path in sessions:
        for file in sorted(path.glob("*_regions.tsv")):
            entities = parse_name(file.name)[0]
            table = read_table(file, "region.tsv")
            if table is not None and "model" in entities:
                key = tuple(entities.get(name, MISSING) for name in _KEYS)
                density = table.set_index(["index", "name"])["density"]
                found.setdefault(key, {}).setdefault(f"ses-{label}", []).append(density)
    return {
        key: {session: pd.concat(scans, axis=1).mean(axis=1) for session, scans in mine.items()}
        for key, mine in found.items()
    }


def _course(sources: Sources, key: tuple[str, ...], tables: dict[str, Any]) -> list[Block]:
    import pandas as pd

    person = f"sub-{sources.participant}"
    file = None if sources.bids_dir is None else sessions_file(sources.bids_dir, person)
    times = session_times(file, list(tables))
    together = pd.concat([tables[name] for name in times.sessions], axis=1).to_numpy()
    names = [str(name) for _, name in tables[times.sessions[0]].index]
    finite = np.isfinite(together).all(axis=1)
    order = np.argsort(-np.where(finite, together.mean(axis=1), -np.inf), kind="stable")
    leading = [int(place) for place in order[:_LEADING] if finite[place]]
    model, label, method, atlas = key
    title = f"Atlas {atlas}, model {model}, method {method}, relevance for {label}"
    return [
        Subheading(title),
        _picture(names, together, leading, times, title),
        _values(names, together, leading, times),
    ]


def _picture(
    names: Sequence[str], values: Any, leading: Sequence[int], times: SessionTimes, title: str
) -> Block:
    labels = {AGE: "age (years)", ORDER: ""}
    years = None if times.kind == ORDER else np.array([times.years[s] for s in times.sessions])
    image = region_courses(
        {names[place]: values[place] for place in leading},
        [name.removeprefix("ses-") for name in times.sessions],
        years,
        title=f"{len(leading)} leading regions",
        label="relevance a voxel",
        years_label=labels.get(times.kind, "years since the first session"),
    )
    caption = (
        f"The {len(leading)} regions with the highest mean density over sessions. Several scans "
        "of one session are averaged."
    )
    if times.kind == ORDER:
        caption += (
            " Ages or dates of all sessions are not known (columns age or acq_time of "
            "sessions.tsv), so the steps are equal."
        )
    return embedded(image, f"Relevance of leading regions over sessions. {title}", caption)


def _values(
    names: Sequence[str], values: Any, leading: Sequence[int], times: SessionTimes
) -> Table:
    header = ("Region", *(f"Session {s.removeprefix('ses-')}" for s in times.sessions), "Change")
    rows = tuple(
        (
            names[place],
            *(number(float(value)) for value in values[place]),
            number(float(values[place][-1] - values[place][0])),
        )
        for place in leading
    )
    return Table("The same in numbers: density; change: last session less first", header, rows)
