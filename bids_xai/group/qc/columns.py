"""The quality figures of all sessions, metric by metric, and who lies far from the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bids_xai.arrays import Bools, Floats64
from bids_xai.core.outliers import LEAST_VALUES, Spread, outliers, robust_z, spread
from bids_xai.core.qc_limits import LIMITS
from bids_xai.tables.numbers import number, plural
from bids_xai.tables.qc import Measure, MetricKey, SessionQc, SessionSummary

_NONE = "none"


@dataclass(frozen=True)
class MetricColumn:
    """One metric of one kind of image over all n sessions.

    values, z, outlier : (n,), NaN where missing; where not ``tested``, z is NaN and ``outlier``
        false
    flagged : (n,) whether the value is outside the limits
    example : a measure of it, for limits and meaning
    """

    example: Measure
    values: Floats64
    flagged: Bools
    spread: Spread
    tested: bool
    z: Floats64
    outlier: Bools

    @property
    def name(self) -> str:
        """``<metric>_<kind of image>``."""
        return f"{self.metric}_{self.kind}"

    @property
    def metric(self) -> str:
        """What is measured, a key of ``LIMITS``."""
        return self.example.metric

    @property
    def kind(self) -> str:
        """Of the image: its name without participant and session."""
        return self.example.kind

    @property
    def description(self) -> str:
        """What the column holds, its limits and its spread, for the JSON beside the table."""
        tail = "" if self.tested else f"; fewer than {LEAST_VALUES} values: no outliers"
        return (
            f"{self.example.meaning}; limits {self.example.limits}; "
            f"median {number(self.spread.median, 4)}, MAD {number(self.spread.mad, 4)} of "
            f"{plural(self.spread.n, 'session')}{tail}"
        )

    def measure(self, index: int) -> Measure:
        """Return the measure of one session, with the limits of the column."""
        value, flagged = float(self.values[index]), bool(self.flagged[index])
        defined = value if math.isfinite(value) else None
        return replace(self.example, value=defined, flagged=flagged)


def metric_columns(sessions: Sequence[SessionQc]) -> list[MetricColumn]:
    """Return a column for every metric of every kind of image, in the order of ``LIMITS``."""
    order = {metric: index for index, metric in enumerate(LIMITS)}
    keys = {key for session in sessions for key in session.measures}
    ordered = sorted(keys, key=lambda key: (order.get(key[0], len(order)), *key))
    return [_column(key, sessions) for key in ordered]


def _column(key: MetricKey, sessions: Sequence[SessionQc]) -> MetricColumn:
    measures = [session.measures.get(key) for session in sessions]
    values = np.array(
        [math.nan if m is None or m.value is None else m.value for m in measures], np.float64
    )
    outlier = outliers(values)
    tested = outlier is not None
    return MetricColumn(
        example=next(m for m in measures if m),
        values=values,
        flagged=np.array([m is not None and m.flagged for m in measures]),
        spread=spread(values),
        tested=tested,
        z=robust_z(values) if tested else np.full(values.shape, math.nan),
        outlier=np.zeros(values.shape, bool) if outlier is None else outlier,
    )


def summaries(
    sessions: Sequence[SessionQc], columns: Sequence[MetricColumn]
) -> list[SessionSummary]:
    """Return a line for every session; ``columns`` : of the same sessions."""
    return [_summary(index, session, columns) for index, session in enumerate(sessions)]


def _summary(index: int, session: SessionQc, columns: Sequence[MetricColumn]) -> SessionSummary:
    flagged = [column.name for column in columns if column.flagged[index]]
    outlying = [column.name for column in columns if column.outlier[index]]
    tested = any(column.tested for column in columns)
    sizes = [abs(float(c.z[index])) for c in columns if math.isfinite(c.z[index])]
    return SessionSummary(
        participant_id=session.participant,
        session_id=session.session or None,
        flagged=bool(flagged),
        n_flagged=len(flagged),
        flagged_metrics=",".join(flagged) or _NONE,
        n_outliers=len(outlying) if tested else None,
        outlier_metrics=(",".join(outlying) or _NONE) if tested else None,
        largest_z=max(sizes, default=None),
        values={column.name: column.measure(index).value for column in columns},
    )


def worst_first(rows: Sequence[SessionSummary]) -> list[int]:
    """Return the indices of rows: most flagged first, then most outliers, then largest z."""

    def badness(index: int) -> tuple[float, ...]:
        row = rows[index]
        return -row.n_flagged, -(row.n_outliers or 0), -(row.largest_z or 0.0)

    return sorted(range(len(rows)), key=badness)
