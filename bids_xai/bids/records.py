"""Plain records of what is to be worked on; below the query nobody asks BIDS again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SourceImage:
    """One image: its file, its BIDS URI, and the entities that its products' names take over.

    field_strength_t : of the scanner in tesla, None where no sidecar says it
    """

    file: Path
    uri: str
    entities: dict[str, str]
    field_strength_t: float | None = None


@dataclass(frozen=True)
class PrecomputedMap:
    """A quantitative map made elsewhere (R1map, Chimap, …), in the scanner space of the T1w."""

    image: SourceImage
    suffix: str
    units: str


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
    """Everything of one participant at one visit that this run is to work on.

    t1w : the anatomy all else is registered to; ``None`` leaves only native maps to make
    megre, flair, maps : the inputs asked for, those that are there
    brain_mask, lesion_mask : made elsewhere, in the space of the T1w image
    notes : what the user should know of the choice of files
    """

    participant: str
    session: str | None
    t1w: SourceImage | None
    megre: tuple[EchoSeries, ...] = ()
    flair: SourceImage | None = None
    maps: tuple[PrecomputedMap, ...] = ()
    brain_mask: SourceImage | None = None
    lesion_mask: SourceImage | None = None
    sidecars: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """``sub-01`` or ``sub-01_ses-1``."""
        tail = f"_ses-{self.session}" if self.session else ""
        return f"sub-{self.participant}{tail}"

    @property
    def images(self) -> tuple[Path, ...]:
        """Every image that is worked on, and every mask."""
        single = (self.t1w, self.flair, self.brain_mask, self.lesion_mask)
        images = [image.file for image in (*single, *(m.image for m in self.maps)) if image]
        echoes = [file for series in self.megre for file in series.files]
        return (*images, *echoes)

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Every file the results depend on."""
        return (*self.images, *self.sidecars)
