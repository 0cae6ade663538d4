"""Plain records of what is to be worked on; below the query nobody asks BIDS again."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class EchoSeries:
    """One multi-echo GRE acquisition, sorted by echo time.

    ``entities`` are those of the source file names without ``echo`` and ``part``.
    """

    entities: dict[str, str]
    files: tuple[Path, ...]
    echo_times_s: tuple[float, ...]
    field_strength_t: float | None = None


@dataclass(frozen=True)
class Session:
    """Everything of one participant at one visit: one T1w image and any number of series."""

    participant: str
    session: str | None
    t1w: Path
    t1w_entities: dict[str, str]
    megre: tuple[EchoSeries, ...]
    sidecars: tuple[Path, ...] = field(default=())

    @property
    def label(self) -> str:
        """``sub-01`` or ``sub-01_ses-1``."""
        tail = f"_ses-{self.session}" if self.session else ""
        return f"sub-{self.participant}{tail}"

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Every file the results depend on."""
        images = [file for series in self.megre for file in series.files]
        return (self.t1w, *images, *self.sidecars)
