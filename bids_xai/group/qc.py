"""Step ``qc``: quality of all sessions in one table and one page, from the tables of sessions.

No image is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from markupsafe import Markup

from bids_xai.arrays import Bools, Floats64
from bids_xai.bids.files import write_text, write_tsv
from bids_xai.bids.stamps import was_sloppy
from bids_xai.core.outliers import LARGEST_Z, LEAST_VALUES, Spread, outliers, robust_z, spread
from bids_xai.figures.quality import Strip, metric_strips
from bids_xai.group.context import LOG, GroupContext
from bids_xai.reports.blocks import Block, Items, Section, Subheading, Table, Text, embedded, render
from bids_xai.reports.participant.quality import mark, value_text
from bids_xai.tables.numbers import MISSING, number, plural
from bids_xai.tables.session_quality import (
    GROUP_QC_COLUMNS,
    QUALITY,
    Key,
    Measure,
    SessionQuality,
    collect_quality,
)

MOST_LINES = 500  # sessions on the page; the table holds all
_NONE = "none"
_SLOPPY = (
    "{} had coarse masks and registrations, since the participant level ran with --sloppy, which "
    "is for tests only."
)


@dataclass(frozen=True)
class Column:
    """One metric of one kind of image over all n sessions.

    values, z, out : (n,), NaN where missing; where not ``tested``, z is NaN and ``out`` false
    like : a measure of it, for limits and meaning
    """

    name: str
    kind: str
    like: Measure
    values: Floats64
    flagged: Bools
    spread: Spread
    tested: bool
    z: Floats64
    out: Bools

    @property
    def description(self) -> str:
        """What the column holds, its limits and its spread, for the JSON beside the table."""
        found = self.spread
        tail = "" if self.tested else f"; fewer than {LEAST_VALUES} values: no outliers"
        return (
            f"{self.like.meaning}; limits {self.like.limits}; median {number(found.median, 4)}, "
            f"MAD {number(found.mad, 4)} of {plural(found.n, 'session')}{tail}"
        )


def run(context: GroupContext) -> list[Path]:
    """Write the quality table and page of all sessions among the derivatives."""
    return write_group_quality(context.output_dir)


def write_group_quality(output_dir: Path) -> list[Path]:
    """Write ``group_qc.tsv``, ``.json`` and ``.html``; nothing where no session has a table.

    Raises :class:`BadDataError` naming a table that is damaged.
    """
    sessions = collect_quality(output_dir)
    if not sessions:
        return []
    columns = quality_columns(sessions)
    rows = [_row(index, session, columns) for index, session in enumerate(sessions)]
    described = GROUP_QC_COLUMNS | {column.name: column.description for column in columns}
    table = write_tsv(output_dir / "group_qc.tsv", rows, described)
    page = _page(output_dir, sessions, columns, rows)
    LOG.info(
        "quality of %d sessions: %d out of limits, %d with outliers",
        len(rows),
        sum(bool(row["flagged"]) for row in rows),
        sum(bool(row["n_outliers"]) for row in rows),
    )
    return [table, table.with_suffix(".json"), write_text(output_dir / "group_qc.html", page)]


def quality_columns(sessions: Sequence[SessionQuality]) -> list[Column]:
    """Return a column for every metric of every kind of image, in the order of ``QUALITY``."""
    order = {metric: index for index, metric in enumerate(QUALITY)}
    keys = {key for session in sessions for key in session.measures}
    ordered = sorted(keys, key=lambda key: (order.get(key[0], len(order)), *key))
    return [_column(key, sessions) for key in ordered]


def _column(key: Key, sessions: Sequence[SessionQuality]) -> Column:
    found = [session.measures.get(key) for session in sessions]
    values = np.array([m.value if m else math.nan for m in found])
    out = outliers(values)
    tested = out is not None
    return Column(
        name=f"{key[0]}_{key[1]}",
        kind=key[1],
        like=next(m for m in found if m),
        values=values,
        flagged=np.array([m is not None and m.flagged for m in found]),
        spread=spread(values),
        tested=tested,
        z=robust_z(values) if tested else np.full(values.shape, math.nan),
        out=np.zeros(values.shape, bool) if out is None else out,
    )


def _row(index: int, session: SessionQuality, columns: Sequence[Column]) -> dict[str, Any]:
    flagged = [column.name for column in columns if column.flagged[index]]
    out = [column.name for column in columns if column.out[index]]
    tested = any(column.tested for column in columns)
    sizes = [abs(float(c.z[index])) for c in columns if math.isfinite(c.z[index])]
    return {
        "participant_id": session.participant,
        "session_id": session.session or None,
        "flagged": bool(flagged),
        "n_flagged": len(flagged),
        "flagged_metrics": ",".join(flagged) or _NONE,
        "n_outliers": len(out) if tested else None,
        "outlier_metrics": (",".join(out) or _NONE) if tested else None,
        "largest_z": max(sizes, default=None),
        **{column.name: float(column.values[index]) for column in columns},
    }


def worst_first(rows: Sequence[dict[str, Any]]) -> list[int]:
    """Return the indices of rows: most flagged first, then most outliers, then largest z."""

    def badness(index: int) -> tuple[float, ...]:
        row = rows[index]
        return -row["n_flagged"], -(row["n_outliers"] or 0), -(row["largest_z"] or 0.0)

    return sorted(range(len(rows)), key=badness)


def _page(
    output_dir: Path,
    sessions: Sequence[SessionQuality],
    columns: Sequence[Column],
    rows: Sequence[dict[str, Any]],
) -> str:
    sections = [
        _summary(output_dir, sessions, columns, rows),
        _worst(output_dir, sessions, columns, rows),
        Section("Metrics", (_metrics(columns),)),
        Section("Distributions", tuple(_pictures(sessions, columns))),
    ]
    lead = "bids_xai quality of all sessions, from the table group_qc.tsv beside this page."
    return render("Quality of all sessions", lead, sections)


def _summary(
    output_dir: Path,
    sessions: Sequence[SessionQuality],
    columns: Sequence[Column],
    rows: Sequence[dict[str, Any]],
) -> Section:
    people = plural(len({session.participant for session in sessions}), "participant")
    flagged = sum(row["n_flagged"] > 0 for row in rows)
    out = sum((row["n_outliers"] or 0) > 0 for row in rows)
    text = (
        f"{plural(len(sessions), 'session')} of {people}. With a value outside its fixed limits: "
        f"{flagged}. With a value far from those of the other sessions: {out}."
    )
    few = [column.name for column in columns if not column.tested]
    blocks: list[Block] = [Text(text)]
    if sloppy := sum(was_sloppy(output_dir, session.name) for session in sessions):
        blocks.insert(0, Items((_SLOPPY.format(plural(sloppy, "session")),), "problem"))
    if few:
        which = "any metric" if len(few) == len(columns) else ", ".join(few)
        blocks.append(
            Text(
                f"Outliers were not looked for in {which}: fewer than {LEAST_VALUES} "
                "sessions have a value.",
                "note",
            )
        )
    note = (
        "A mark is a reason to look at the pictures of the session, not a reason to leave it out. "
        f"Outliers have |z| > {LARGEST_Z}, z = 0.6745 (value − median) / MAD over all sessions; "
        "in a sample of sick and healthy people the sick ones may stand out by their illness."
    )
    return Section("Summary", (*blocks, Text(note, "note")))


def _worst(
    output_dir: Path,
    sessions: Sequence[SessionQuality],
    columns: Sequence[Column],
    rows: Sequence[dict[str, Any]],
) -> Section:
    order = worst_first(rows)[:MOST_LINES]
    lines = tuple(
        (
            _link(output_dir, sessions[index]),
            _flags(index, columns),
            _outliers(index, columns, rows[index]),
            number(rows[index]["largest_z"]),
        )
        for index in order
    )
    left_out = len(rows) - len(lines)
    tail = f"; {left_out} more, which are better, are in group_qc.tsv" if left_out else ""
    header = ("Session", "Outside the limits", "Far from the others", "Largest |z|")
    caption = f"Sessions, worst first{tail}"
    return Section("Sessions", (Table(caption, header, lines),))


def _link(output_dir: Path, session: SessionQuality) -> str:
    """The name of a session, leading to the participant's page where there is one."""
    page = f"{session.participant}.html"
    if not (output_dir / page).is_file():
        return session.name
    return Markup('<a href="{}">{}</a>').format(quote(page), session.name)


def _flags(index: int, columns: Sequence[Column]) -> str:
    found = [c for c in columns if c.flagged[index]]
    cells = []
    for column in found:
        value = column.values[index]
        verdict = _measure(column, index).verdict
        text = value_text(_measure(column, index)) if math.isfinite(value) else ""
        cells.append(mark(" ".join(filter(None, (column.like.metric, text, verdict)))))
    return _lines(cells)


def _outliers(index: int, columns: Sequence[Column], row: dict[str, Any]) -> str:
    if row["n_outliers"] is None:
        return MISSING
    return _lines(
        f"{c.like.metric} {value_text(_measure(c, index))} (z = {c.z[index]:.1f}; {c.kind})"
        for c in columns
        if c.out[index]
    )


def _lines(cells: Iterable[str]) -> str:
    return Markup("<br>").join(cells) or "–"


def _measure(column: Column, index: int) -> Measure:
    """The measure of one session, with the limits of its column."""
    like, value = column.like, float(column.values[index])
    flagged = bool(column.flagged[index])
    return Measure(like.image, like.metric, value, like.low, like.high, flagged, like.meaning)


def _metrics(columns: Sequence[Column]) -> Table:
    rows = []
    for column in columns:
        finite = column.values[np.isfinite(column.values)]
        ends = [number(float(v), 4) for v in (finite.min(), finite.max())] if finite.size else []
        out = str(int(column.out.sum())) if column.tested else MISSING
        middle = [number(v, 4) for v in (column.spread.median, column.spread.mad)]
        rows.append(
            (
                column.like.metric,
                column.kind,
                str(column.spread.n),
                *middle,
                " to ".join(ends) or MISSING,
                column.like.limits,
                str(int(column.flagged.sum())),
                out,
            )
        )
    header = (
        "Metric",
        "Image",
        "Sessions",
        "Median",
        "MAD",
        "Range",
        "Limits",
        "Outside",
        "Outliers",
    )
    return Table("Every metric over all sessions", header, tuple(rows))


def _pictures(sessions: Sequence[SessionQuality], columns: Sequence[Column]) -> list[Block]:
    """One picture a kind of image, a line in it a metric."""
    names = [session.name for session in sessions]
    blocks: list[Block] = [
        Text(
            "A point is a session. Grey box: quartiles and median. Orange ground: outside the "
            "fixed limits. Orange diamonds: outside the limits or far from the others; those "
            "farthest from the median are named."
        )
    ]
    for kind in dict.fromkeys(column.kind for column in columns):
        mine = [column for column in columns if column.kind == kind]
        picture = metric_strips([_strip(column, names) for column in mine])
        metrics = ", ".join(column.like.metric for column in mine)
        meanings = "; ".join(f"{c.like.metric}: {c.like.meaning}" for c in mine)
        caption = f"{plural(len(names), 'session')}. {meanings}."
        blocks += [Subheading(kind), embedded(picture, f"Distribution of {metrics}", caption)]
    return blocks


def _strip(column: Column, names: Sequence[str]) -> Strip:
    like = column.like
    marked = column.flagged | column.out
    return Strip(like.metric, column.values, names, marked, like.low, like.high)
