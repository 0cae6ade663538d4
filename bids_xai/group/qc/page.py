"""The page of the step ``qc``: all sessions, worst first, and the distribution of every metric."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from urllib.parse import quote

import numpy as np
from markupsafe import Markup

from bids_xai.core.outliers import LARGEST_Z, LEAST_VALUES
from bids_xai.figures.quality import Strip, metric_strips
from bids_xai.group.qc.columns import MetricColumn, worst_first
from bids_xai.reports.blocks import (
    Block,
    Items,
    Section,
    Subheading,
    TableBlock,
    Text,
    embedded,
    render,
)
from bids_xai.reports.participant.qc import mark, value_text
from bids_xai.tables.numbers import MISSING, number, plural
from bids_xai.tables.qc import GROUP_QC, SessionQc, SessionSummary

MOST_LINES = 500  # sessions on the page; the table holds all
_SLOPPY = (
    "{} had coarse masks and registrations, since the participant level ran with --sloppy, which "
    "is for tests only."
)


def qc_page(
    sessions: Sequence[SessionQc],
    columns: Sequence[MetricColumn],
    rows: Sequence[SessionSummary],
    *,
    pages: Collection[str] = (),
    n_sloppy: int = 0,
) -> str:
    """Return the page as HTML that needs no other file.

    columns, rows : of the sessions, in their order
    pages : participants (``sub-X``) whose page can be linked; n_sloppy : sessions made for a test
    """
    sections = [
        _summary(sessions, columns, rows, n_sloppy),
        _worst(sessions, columns, rows, pages),
        Section("Metrics", (_metrics(columns),)),
        Section("Distributions", tuple(_pictures(sessions, columns))),
    ]
    lead = f"bids_xai quality of all sessions, from the table {GROUP_QC.file} beside this page."
    return render("Quality of all sessions", lead, sections)


def _summary(
    sessions: Sequence[SessionQc],
    columns: Sequence[MetricColumn],
    rows: Sequence[SessionSummary],
    n_sloppy: int,
) -> Section:
    participants = plural(len({session.participant for session in sessions}), "participant")
    flagged = sum(row.n_flagged > 0 for row in rows)
    outlying = sum((row.n_outliers or 0) > 0 for row in rows)
    text = (
        f"{plural(len(sessions), 'session')} of {participants}. With a value outside its fixed "
        f"limits: {flagged}. With a value far from those of the other sessions: {outlying}."
    )
    blocks: list[Block] = [Text(text)]
    if n_sloppy:
        blocks.insert(0, Items((_SLOPPY.format(plural(n_sloppy, "session")),), "problem"))
    untested = [column.name for column in columns if not column.tested]
    if untested:
        which = "any metric" if len(untested) == len(columns) else ", ".join(untested)
        blocks.append(
            Text(
                f"Outliers were not looked for in {which}: fewer than {LEAST_VALUES} "
                "sessions have a value.",
                "note",
            )
        )
    note = (
        "A mark is a reason to look at the pictures of the session, not a reason to exclude it. "
        f"Outliers have |z| > {LARGEST_Z}, z = 0.6745 (value − median) / MAD over all sessions; "
        "in a sample of patients and controls, patients may be outliers because of their disease."
    )
    return Section("Summary", (*blocks, Text(note, "note")))


def _worst(
    sessions: Sequence[SessionQc],
    columns: Sequence[MetricColumn],
    rows: Sequence[SessionSummary],
    pages: Collection[str],
) -> Section:
    order = worst_first(rows)[:MOST_LINES]
    lines = tuple(
        (
            _link(sessions[index], pages),
            _flags(index, columns),
            _outliers(index, columns, rows[index]),
            number(rows[index].largest_z),
        )
        for index in order
    )
    left_out = len(rows) - len(lines)
    tail = f"; {left_out} more, which are better, are in {GROUP_QC.file}" if left_out else ""
    header = ("Session", "Outside the limits", "Far from the others", "Largest |z|")
    caption = f"Sessions, worst first{tail}"
    return Section("Sessions", (TableBlock(caption, header, lines),))


def _link(session: SessionQc, pages: Collection[str]) -> str:
    """The name of a session, leading to the participant's page where there is one."""
    if session.participant not in pages:
        return session.name
    page = quote(f"{session.participant}.html")
    return Markup('<a href="{}">{}</a>').format(page, session.name)


def _flags(index: int, columns: Sequence[MetricColumn]) -> str:
    cells = []
    for column in columns:
        if not column.flagged[index]:
            continue
        measure = column.measure(index)
        text = "" if measure.value is None else value_text(measure)
        cells.append(mark(" ".join(filter(None, (column.metric, text, measure.verdict)))))
    return _lines(cells)


def _outliers(index: int, columns: Sequence[MetricColumn], row: SessionSummary) -> str:
    if row.n_outliers is None:
        return MISSING
    return _lines(
        f"{c.metric} {value_text(c.measure(index))} (z = {c.z[index]:.1f}; {c.kind})"
        for c in columns
        if c.outlier[index]
    )


def _lines(cells: Iterable[str]) -> str:
    return Markup("<br>").join(cells) or "–"


_METRIC_HEADER = (
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


def _metrics(columns: Sequence[MetricColumn]) -> TableBlock:
    rows = tuple(_metric_line(column) for column in columns)
    return TableBlock("Every metric over all sessions", _METRIC_HEADER, rows)


def _metric_line(column: MetricColumn) -> tuple[str, ...]:
    finite = column.values[np.isfinite(column.values)]
    ends = [number(float(v), 4) for v in (finite.min(), finite.max())] if finite.size else []
    return (
        column.metric,
        column.kind,
        str(column.spread.n),
        number(column.spread.median, 4),
        number(column.spread.mad, 4),
        " to ".join(ends) or MISSING,
        column.example.limits,
        str(int(column.flagged.sum())),
        str(int(column.outlier.sum())) if column.tested else MISSING,
    )


def _pictures(sessions: Sequence[SessionQc], columns: Sequence[MetricColumn]) -> list[Block]:
    """One picture a kind of image, a line in it a metric."""
    names = [session.name for session in sessions]
    blocks: list[Block] = [
        Text(
            "Each point is a session. Grey box: quartiles and median. Orange background: "
            "outside the fixed limits. Orange diamonds: outside the limits or far from the others; "
            "those farthest from the median are named."
        )
    ]
    for kind in dict.fromkeys(column.kind for column in columns):
        of_kind = [column for column in columns if column.kind == kind]
        picture = metric_strips([_strip(column, names) for column in of_kind])
        metrics = ", ".join(column.metric for column in of_kind)
        meanings = "; ".join(f"{c.metric}: {c.example.meaning}" for c in of_kind)
        caption = f"{plural(len(names), 'session')}. {meanings}."
        blocks += [Subheading(kind), embedded(picture, f"Distribution of {metrics}", caption)]
    return blocks


def _strip(column: MetricColumn, names: Sequence[str]) -> Strip:
    low, high = column.example.low, column.example.high
    return Strip(
        column.metric,
        column.values,
        names,
        column.flagged | column.outlier,
        -math.inf if low is None else low,
        math.inf if high is None else high,
    )
