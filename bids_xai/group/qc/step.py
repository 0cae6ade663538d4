"""Step ``qc``: quality of all sessions in one table and one page, from the tables of sessions.

No image is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bids_xai.bids.files import write_text
from bids_xai.bids.stamps import code_state, was_sloppy
from bids_xai.group.context import LOG, GroupContext
from bids_xai.group.qc.columns import MetricColumn, metric_columns, summaries
from bids_xai.group.units import Unit, Units
from bids_xai.tables.qc import GROUP_QC, SessionQc, SessionSummary, collect_qc


@dataclass(frozen=True)
class QcInputs:
    """What the tables of all sessions say, by participant and session.

    pages : participants (``sub-X``) who have a page; n_sloppy : sessions made with ``--sloppy``
    """

    sessions: tuple[SessionQc, ...]
    pages: frozenset[str] = frozenset()
    n_sloppy: int = 0


@dataclass(frozen=True)
class QcResults:
    """Metrics over all sessions, a line for every session, and the page that shows both."""

    columns: tuple[MetricColumn, ...]
    rows: tuple[SessionSummary, ...]
    page: str


def run(context: GroupContext) -> list[Path]:
    """Write the quality table and page of all sessions among the derivatives."""
    return write_group_qc(context.output_dir)


def write_group_qc(output_dir: Path) -> list[Path]:
    """Write ``group_qc.tsv``, ``.json`` and ``.html`` where what they show has changed.

    Nothing is written where no session has a table.

    output_dir : the derivatives
    Raises :class:`BadDataError` naming a table that is damaged.
    """
    inputs = read(output_dir)
    if not inputs.sessions:
        return []
    unit = Unit(
        "quality of all sessions",
        output_dir / "logs" / "group_qc.json",
        (),
        {
            "sessions": [repr(session) for session in inputs.sessions],
            "pages": sorted(inputs.pages),
            "n_sloppy": inputs.n_sloppy,
            "code": code_state("jinja2", "matplotlib", "numpy"),
        },
        shares_folder=True,
        step="qc",
    )
    Units(output_dir).run(unit, lambda: _make(inputs, output_dir))
    table = output_dir / GROUP_QC.file
    return [table, table.with_suffix(".json"), table.with_suffix(".html")]


def _make(inputs: QcInputs, output_dir: Path) -> list[Path]:
    results = compute(inputs)
    _log(results.rows)
    return write(results, output_dir)


def read(output_dir: Path) -> QcInputs:
    """Read the tables of all sessions. Raises :class:`BadDataError` naming one that is damaged."""
    sessions = collect_qc(output_dir)
    participants = {session.participant for session in sessions}
    return QcInputs(
        sessions=tuple(sessions),
        pages=frozenset(p for p in participants if (output_dir / f"{p}.html").is_file()),
        n_sloppy=sum(was_sloppy(output_dir, session.name) for session in sessions),
    )


def compute(inputs: QcInputs) -> QcResults:
    """Compare the sessions, of which there is at least one, and draw the page."""
    from bids_xai.group.qc.page import qc_page

    columns = metric_columns(inputs.sessions)
    rows = summaries(inputs.sessions, columns)
    page = qc_page(inputs.sessions, columns, rows, pages=inputs.pages, n_sloppy=inputs.n_sloppy)
    return QcResults(tuple(columns), tuple(rows), page)


def write(results: QcResults, output_dir: Path) -> list[Path]:
    """Write the table, its description and the page."""
    described = {column.name: column.description for column in results.columns}
    file = output_dir / GROUP_QC.file
    return [
        *GROUP_QC.write(file, results.rows, more=described, notes=described),
        write_text(file.with_suffix(".html"), results.page),
    ]


def _log(rows: Sequence[SessionSummary]) -> None:
    LOG.info(
        "quality of %d sessions: %d outside limits, %d with outliers",
        len(rows),
        sum(row.flagged for row in rows),
        sum(bool(row.n_outliers) for row in rows),
    )
