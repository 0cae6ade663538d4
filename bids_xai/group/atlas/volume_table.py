"""Volumes of regions from a table of the user's, such as one of another segmentation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bids_xai.arrays import Floats64
from bids_xai.bids.user_tables import UserTable, read_user_table, with_prefix
from bids_xai.core.regions.names import joined_regions
from bids_xai.errors import BadDataError, NoInputError
from bids_xai.group.context import LOG
from bids_xai.tables.predictions import Prediction
from bids_xai.tables.table import MISSING
from bids_xai.templates.lookup import Atlas

USER_VOLUMES = "volumes"  # NAME of --derivatives NAME=PATH for the table
_PARTICIPANT = "participant_id"


def user_volumes(path: Path, predictions: Sequence[Prediction], atlas: Atlas) -> Floats64:
    """Volumes (n_maps, n_labels) from the user's table: one column a region, NaN where unknown.

    Columns are matched with names of regions, whatever their case and separators; a column of
    joined sides gives its value to the first of them, the others 0, so that the sum is right.
    Raises :class:`NoInputError` without the file, :class:`BadDataError` for a table that is
    broken, lacks the participants, or has text in the place of a number.
    """
    if not path.is_file():
        raise NoInputError(
            "no such table of volumes", file=path, fix="check --derivatives volumes=TABLE.tsv"
        )
    table = read_user_table(path, (_PARTICIPANT,))
    columns = matched_columns(table.header, atlas.labels)
    if not columns:
        LOG.warning("%s has no column named like a region of atlas %s", path.name, atlas.name)
    by_scan = _by_scan(table)
    volumes = np.full((len(predictions), len(atlas.labels)), np.nan)
    for row, prediction in enumerate(predictions):
        participant = prediction.participant_id
        of_participant = by_scan.get((participant, MISSING), (0, {}))
        line, cells = by_scan.get((participant, prediction.session_id or MISSING), of_participant)
        for column, members in columns.items():
            value = _number(cells.get(column), path, line, column)
            volumes[row, members] = 0.0 if np.isfinite(value) else np.nan
            volumes[row, members[0]] = value
    return volumes


def matched_columns(
    header: Sequence[str], labels: Sequence[tuple[int, str]]
) -> dict[str, list[int]]:
    """Column → positions in ``labels`` (value, name). Sides apart win over sides joined.

    Raises :class:`BadDataError` for two columns whose names mean the same region.
    """
    apart = {_plain(name): [position] for position, (_, name) in enumerate(labels)}
    joined = {_plain(region.name): list(region.members) for region in joined_regions(labels)}
    columns: dict[str, list[int]] = {}
    taken: set[int] = set()
    by_name: dict[str, str] = {}
    for column in header:
        other = by_name.setdefault(_plain(column), column)
        if other != column and _plain(column) in apart.keys() | joined.keys():
            raise BadDataError(
                f"the columns {other} and {column} are of the same region",
                fix="keep one of them in the table of volumes",
            )
    for regions in (apart, joined):
        for column in header:
            members = regions.get(_plain(column))
            if members and column not in columns and not taken & set(members):
                columns[column] = members
                taken |= set(members)
    return columns


def _by_scan(table: UserTable) -> dict[tuple[str, str], tuple[int, Mapping[str, str]]]:
    """Participant and session → number of the line and cells; nobody may be there twice."""
    by_scan: dict[tuple[str, str], tuple[int, Mapping[str, str]]] = {}
    for line, cells in table.rows:
        scan = (with_prefix(cells[_PARTICIPANT]), _session(cells))
        if scan in by_scan:
            raise BadDataError(
                f"{' '.join(scan)} is listed twice, in lines {by_scan[scan][0]} and {line}",
                file=table.file,
                fix="keep one line per participant or session",
            )
        by_scan[scan] = line, cells
    return by_scan


def _session(cells: Mapping[str, str]) -> str:
    session = cells.get("session_id") or MISSING
    return session if session == MISSING else with_prefix(session, "ses-")


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _number(text: str | None, path: Path, line: int, column: str) -> float:
    if text in (None, "", MISSING):
        return float("nan")
    try:
        return float(str(text))
    except ValueError as error:
        raise BadDataError(
            f"'{text}' in line {line}, column {column}, is not a number",
            file=path,
            fix="correct it, or write n/a",
        ) from error
