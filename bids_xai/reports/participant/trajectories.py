"""How relevance in the leading regions went over the sessions of one participant."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bids_xai.arrays import Floats64
from bids_xai.bids.names import parse_name
from bids_xai.bids.session_times import AGE, ORDER, SessionTimes, session_times, sessions_file
from bids_xai.errors import BadDataError
from bids_xai.figures.trajectories import region_courses
from bids_xai.reports.blocks import Block, Section, Subheading, TableBlock, Text, embedded
from bids_xai.reports.participant.context import Sources
from bids_xai.tables.atlas import REGIONS_OF_SCAN, RegionRow
from bids_xai.tables.numbers import MISSING, number

LOG = logging.getLogger("bids_xai")

_LEADING = 6
_KEYS = ("model", "label", "desc", "atlas")  # what all sessions of one course share
_CAUTION = (
    "Sessions differ in position, motion, scanner and registration as well: a change in relevance "
    "is a change in what the model used, not a measure of progression."
)


@dataclass(frozen=True, order=True)
class CourseRegion:
    """A region of an atlas."""

    index: int
    name: str


@dataclass(frozen=True)
class CourseKey:
    """What all sessions of one course share; ``n/a`` for what a file name does not say."""

    model: str
    label: str
    method: str
    atlas: str


Densities = dict[CourseRegion, float]
"""Region → mean density over the scans of a session, NaN where it has none."""


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


def _courses(sessions: Sequence[tuple[str, Path]]) -> dict[CourseKey, dict[str, Densities]]:
    """What was explained → ``ses-X`` → density by region."""
    tables: dict[CourseKey, dict[str, list[list[RegionRow]]]] = {}
    for label, path in sessions:
        for file in sorted(path.glob("*_regions.tsv")):
            entities, rows = parse_name(file.name)[0], REGIONS_OF_SCAN.read(file)
            if rows and "model" in entities:
                key = CourseKey(*(entities.get(name, MISSING) for name in _KEYS))
                tables.setdefault(key, {}).setdefault(f"ses-{label}", []).append(rows)
    return {
        key: {session: _mean_densities(scans) for session, scans in by_session.items()}
        for key, by_session in tables.items()
    }


def _mean_densities(scans: Sequence[Sequence[RegionRow]]) -> Densities:
    """The mean of each region over the scans in which it has a density."""
    values: dict[CourseRegion, list[float]] = {}
    for rows in scans:
        for row in rows:
            densities = values.setdefault(CourseRegion(row.index, row.name), [])
            densities += [] if row.density is None else [row.density]
    return {
        region: sum(densities) / len(densities) if densities else np.nan
        for region, densities in values.items()
    }


def _course(sources: Sources, key: CourseKey, sessions: Mapping[str, Densities]) -> list[Block]:
    person = f"sub-{sources.participant}"
    file = None if sources.bids_dir is None else sessions_file(sources.bids_dir, person)
    try:
        times = session_times(file, list(sessions))
    except BadDataError as error:
        LOG.warning("the sessions of %s are in the order of their labels: %s", person, error)
        times = session_times(None, list(sessions))
    tables = [sessions[name] for name in times.sessions]
    regions = list(dict.fromkeys(region for table in tables for region in table))
    together = np.array([[table.get(region, np.nan) for table in tables] for region in regions])
    names = [region.name for region in regions]
    finite = np.isfinite(together).all(axis=1)
    order = np.argsort(-np.where(finite, together.mean(axis=1), -np.inf), kind="stable")
    leading = [int(row) for row in order[:_LEADING] if finite[row]]
    title = f"Atlas {key.atlas}, model {key.model}, method {key.method}, relevance for {key.label}"
    return [
        Subheading(title),
        _picture(names, together, leading, times, title),
        _values(names, together, leading, times),
    ]


def _picture(
    names: Sequence[str], values: Floats64, leading: Sequence[int], times: SessionTimes, title: str
) -> Block:
    labels = {AGE: "age (years)", ORDER: ""}
    years = None if times.kind == ORDER else np.array([times.years[s] for s in times.sessions])
    image = region_courses(
        {names[row]: values[row] for row in leading},
        [name.removeprefix("ses-") for name in times.sessions],
        years,
        title=f"{len(leading)} leading regions",
        label="relevance per voxel",
        years_label=labels.get(times.kind, "years since the first session"),
    )
    caption = (
        f"The {len(leading)} regions with the highest mean density over sessions. Several scans "
        "of one session are averaged."
    )
    if times.kind == ORDER:
        caption += (
            " Ages or dates of all sessions are not known (columns age or acq_time of "
            "sessions.tsv), so the sessions are equally spaced."
        )
    return embedded(image, f"Relevance of leading regions over sessions. {title}", caption)


def _values(
    names: Sequence[str], values: Floats64, leading: Sequence[int], times: SessionTimes
) -> TableBlock:
    header = ("Region", *(f"Session {s.removeprefix('ses-')}" for s in times.sessions), "Change")
    rows = tuple(
        (
            names[row],
            *(number(float(value)) for value in values[row]),
            number(float(values[row][-1] - values[row][0])),
        )
        for row in leading
    )
    return TableBlock(
        "The same in numbers: density; change: last session minus first", header, rows
    )
