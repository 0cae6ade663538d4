"""What is to be made of a session, and what became of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bids_xai.bids.stamps import is_current, what_changed


@dataclass(frozen=True)
class SessionJob:
    """What is to be made of one session.

    label : ``sub-01_ses-1``
    participant : label without ``sub-``
    stamp, digest : file that says it is done, and what it then holds
    build : gives the graph, whose last node is called ``publish``; gets the graph's name. It goes
        to another process, so it must be a function of a module, or a partial of one
    memory_gb : what its largest step may take
    """

    label: str
    participant: str
    stamp: Path
    digest: str
    build: Callable[[str], Any]
    memory_gb: float = 3.0

    @property
    def name(self) -> str:
        """The label as a name that nipype takes; different labels never share one."""
        return re.sub(r"[^\w-]", lambda match: f"_x{ord(match[0]):x}_", self.label)

    @property
    def lock(self) -> Path:
        """What a run has for itself while it works on the session, whatever it makes of it."""
        return self.stamp.parent / self.name

    def is_done(self, root: Path) -> bool:
        """Tell whether the outputs are there and up to date."""
        return is_current(self.stamp, self.digest, root)

    def why(self, root: Path) -> str:
        """Why it is to be done; empty where it is done."""
        return what_changed(self.stamp, self.digest, root)


@dataclass
class Outcome:
    """Labels of finished jobs, and label → message of failed ones."""

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


Problem = Exception | str | None
"""What went wrong with a job, as far as its process could tell."""
Results = Iterator[tuple[SessionJob, Problem]]
