"""How much of a long piece of work is done, and about how long the rest takes."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable

LOG = logging.getLogger("bids_xai")

FIRST_S = 30.0
"""Time until the first word; what is done before needs none."""
LONGEST_S = 900.0
"""The longest pause between two words; each pause is twice the one before."""
_LIVE_S = 1.0  # between two words that only a terminal shows
_TINY = 1e-6


class Progress:
    """Counts the items of a piece of work, and says in the log by time how far it is.

    A record in the log has ``in_place`` (a terminal may write over it) and ``passing`` (for a
    terminal alone: it comes every second and belongs into no file).

    what : the items, in the plural (``heatmaps``)
    total : number of items
    at_once : items worked on side by side; the time left is told once as many are done
    clock : seconds; live : whether somebody watches (default: stderr is a terminal)
    """

    def __init__(
        self,
        what: str,
        total: int,
        *,
        at_once: int = 1,
        clock: Callable[[], float] = time.monotonic,
        live: bool | None = None,
    ) -> None:
        self.what, self.total, self.done = what, total, 0.0
        self._at_once, self._clock = at_once, clock
        self._live = sys.stderr.isatty() if live is None else live
        self._skipped = 0.0
        self._started = self._shown = clock()
        self._pause = FIRST_S
        self._next = self._started + FIRST_S

    def step(self, amount: float = 1.0, note: str = "") -> None:
        """Some more is done: an item, or a part of one; ``note`` says what is going on."""
        self.done += amount
        if self.total - self.done < _TINY:
            return  # what comes next says that it is done
        now = self._clock()
        due = now >= self._next
        if due:
            self._pause = min(2 * self._pause, LONGEST_S)
            self._next = now + self._pause
        if due or (self._live and now - self._shown >= _LIVE_S):
            self._shown = now
            text = "; ".join(part for part in (f"{self.count}{self._left_after()}", note) if part)
            LOG.info("  %s", text, extra={"in_place": True, "passing": not due})

    def skip(self, amount: float = 1.0) -> None:
        """Some need not be done: they count, but say nothing of how long the others take."""
        self.done += amount
        self._skipped += amount

    def reach(self, done: float) -> None:
        """So many are done by now, whatever was counted in parts."""
        self.done = max(self.done, done)

    @property
    def count(self) -> str:
        """``12 of 40 heatmaps done``."""
        return f"{int(self.done + _TINY)} of {self.total} {self.what} done"

    @property
    def time_left(self) -> str:
        """``about 2 h 10 min left``; empty where that cannot be told yet, or nothing is left."""
        seconds = self._clock() - self._started
        worked, left = self.done - self._skipped, self.total - self.done
        first_round = self._at_once > 1 and worked < self._at_once
        if seconds < FIRST_S or worked < _TINY or left < _TINY or first_round:
            return ""
        return f"about {in_words(seconds / worked * left)} left"

    def _left_after(self) -> str:
        return f", {self.time_left}" if self.time_left else ""


def in_words(seconds: float) -> str:
    """Return a duration as one says it: ``40 s``, ``12 min``, ``2 h 10 min``, ``3 days 4 h``."""
    minutes = seconds / 60
    if minutes < 1.5:
        return f"{max(10, 10 * round(seconds / 10))} s"
    if minutes < 90:
        return f"{round(minutes)} min"
    if minutes < 48 * 60:
        hours, rest = divmod(10 * round(minutes / 10), 60)
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    days, hours = divmod(round(minutes / 60), 24)
    return f"{days} days {hours} h" if hours else f"{days} days"
