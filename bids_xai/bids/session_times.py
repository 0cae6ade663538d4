"""When the sessions of a participant were: ages or dates from ``sub-X_sessions.tsv``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bids_xai.bids.user_tables import read_user_table

AGE, TIME, ORDER = "age", "time", "order"
_DAYS = 365.25  # of a year
_SECONDS = 86_400.0


@dataclass(frozen=True)
class SessionTimes:
    """Sessions in the order of time.

    kind : ``age`` (years), ``time`` (years since the first one), or ``order``, where neither is
        known of all and the labels give the order
    years : ``ses-X`` → years; empty for ``order``
    """

    kind: str
    sessions: tuple[str, ...]
    years: Mapping[str, float]

    def between(self, first: str, last: str) -> float:
        """Return the years from one session to another, NaN where they are not known."""
        if first not in self.years or last not in self.years:
            return math.nan
        return self.years[last] - self.years[first]


def sessions_file(bids_dir: Path, participant: str) -> Path:
    """Return where BIDS keeps what is known of the sessions of ``sub-X``."""
    return bids_dir / participant / f"{participant}_sessions.tsv"


def session_times(path: Path | None, sessions: Sequence[str]) -> SessionTimes:
    """Order sessions by the columns ``age`` or, without, ``acq_time`` of a sessions.tsv.

    path : may be missing; sessions : ``ses-X``. A column counts where every session has a usable
        value in it and not all are the same (such as an age in whole years).
    Raises :class:`BadDataError` for a table that cannot be taken as it is.
    """
    rows: dict[str, dict[str, str]] = {}
    if path is not None and path.is_file():
        rows = read_user_table(path, ("session_id",)).by_key("session_id", "ses-")
    for kind, column, read in ((AGE, "age", _number), (TIME, "acq_time", _date)):
        values = {name: read(rows.get(name, {}).get(column) or "") for name in sessions}
        if len(set(values.values())) > 1 and not any(map(math.isnan, values.values())):
            start = min(values.values()) if kind == TIME else 0.0
            years = {name: value - start for name, value in values.items()}
            ordered = sorted(sessions, key=lambda name: (years[name], _natural(name)))
            return SessionTimes(kind, tuple(ordered), years)
    return SessionTimes(ORDER, tuple(sorted(sessions, key=_natural)), {})


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _date(text: str) -> float:
    """Years since the year 1 of an ISO date, with or without a time."""
    try:
        moment = datetime.fromisoformat(text.strip().rstrip("Z"))
    except ValueError:
        return math.nan
    since = moment.replace(tzinfo=None) - datetime(1, 1, 1)
    return (since.days + since.seconds / _SECONDS) / _DAYS


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    parts = re.findall(r"\d+|\D+", name)
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in parts)
