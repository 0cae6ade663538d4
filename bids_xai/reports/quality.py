"""The quality table of a session in words: what is out of its limits, and where to look."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from bids_xai.bids.names import parse_name
from bids_xai.bids.quality import QUALITY_COLUMNS
from bids_xai.errors import BadDataError
from bids_xai.reports.page import Block, Table
from bids_xai.reports.tables import MISSING, number, plural

SUFFIX = "_qc.tsv"

# metric → ``desc`` of the pictures that show it
LOOK_AT: Mapping[str, tuple[str, ...]] = {
    "BrainVolumeMl": ("brainmask",),
    "BrainToBackground": ("brainmask",),
    "MaskDice": ("templatemask",),
    "Correlation": ("templatemask",),
    "TemplateCovered": ("templatemask",),
    "BrainCovered": ("registration",),
    "BrainMedian": ("histogram",),
    "BrainMedianR2star": ("histogram",),
    "UndefinedVoxels": ("histogram", "registration"),
    "FitInvalidFraction": ("histogram",),
    "FitResidual": ("residual",),
    "MutualInformation": ("registration",),
    "EdgeAlignment": ("registration",),
    "LesionVolumeMl": ("lesion",),
    "LesionVoxelsFilled": ("lesionfilled",),
}

_WARNING = "\N{WARNING SIGN}\N{VARIATION SELECTOR-15}"
_MARK = '<strong class="mark">{sign} {text}</strong>'
_NAMED = '{} <span class="meaning">{}</span>'


@dataclass(frozen=True)
class Measure:
    """One line of ``*_qc.tsv``; NaN is an undefined value, infinite is no limit.

    image : name of the file it belongs to, without extension
    """

    image: str
    metric: str
    value: float
    low: float
    high: float
    flagged: bool
    meaning: str

    @property
    def limits(self) -> str:
        """``≥ 0.9``, ``≤ 150``, ``5 to 80``, or a dash."""
        if math.isfinite(self.low) and math.isfinite(self.high):
            return f"{number(self.low, 4)} to {number(self.high, 4)}"
        if math.isfinite(self.low):
            return f"≥ {number(self.low, 4)}"
        return f"≤ {number(self.high, 4)}" if math.isfinite(self.high) else "–"

    @property
    def verdict(self) -> str:
        """``below 0.9``, ``above 150``, ``undefined``, ``within`` or ``no limit``."""
        if self.flagged and math.isnan(self.value):
            return "undefined"
        if self.flagged:
            below = self.value < self.low
            return f"{'below' if below else 'above'} {number(self.low if below else self.high, 4)}"
        return "no limit" if self.limits == "–" else "within"


@dataclass(frozen=True)
class Look:
    """A picture of the page: its title, the id of its heading, and what its file name says."""

    title: str
    anchor: str
    entities: Mapping[str, str]
    suffix: str


def quality_file(anat: Path) -> Path | None:
    """Return the quality table of an ``anat`` folder, where there is one."""
    return next(iter(sorted(anat.glob(f"sub-*{SUFFIX}"))), None)


def read_quality(path: Path) -> tuple[Measure, ...]:
    """Return the lines of a quality table.

    Raises :class:`BadDataError` for a column that is missing or a value that is no number.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return tuple(_measure(row) for row in csv.DictReader(stream, delimiter="\t"))
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise BadDataError(
            f"the quality table is damaged ({error}); it needs {', '.join(QUALITY_COLUMNS)}",
            file=path,
            fix="remove the file and run the participant level again",
        ) from error


def _measure(row: Mapping[str, str]) -> Measure:
    return Measure(
        image=row["image"],
        metric=row["metric"],
        value=_or(row["value"], math.nan),
        low=_or(row["low"], -math.inf),
        high=_or(row["high"], math.inf),
        flagged=_truth(row["flagged"]),
        meaning=row["meaning"],
    )


def _or(cell: str, default: float) -> float:
    return default if cell == MISSING else float(cell)


def _truth(cell: str) -> bool:
    if cell not in ("true", "false"):
        raise ValueError(f"{cell!r} is neither true nor false")
    return cell == "true"


def quality_table(measures: Sequence[Measure], place: str = "") -> list[Block]:
    """Return the table of a session, flagged lines first and marked; nothing for no lines.

    place : what the caption begins with
    """
    if not measures:
        return []
    ordered = sorted(measures, key=lambda measure: not measure.flagged)
    out = sum(measure.flagged for measure in measures)
    caption = f"{place}{out} of {plural(len(measures), 'metric')} out of the limits"
    header = ("Metric", "Verdict", "Value", "Limits", "Image")
    return [Table(caption, header, tuple(_line(measure) for measure in ordered))]


def _line(measure: Measure) -> tuple[str, ...]:
    """The verdict comes early, and the meaning stands under the name: on a phone the last columns
    lie outside the screen."""
    stands_out = mark if measure.flagged else str
    return (
        Markup(_NAMED).format(stands_out(measure.metric), measure.meaning),
        stands_out(measure.verdict),
        value_text(measure),
        measure.limits,
        kind_of(measure.image),
    )


def verdict_words(measures: Sequence[Measure]) -> str:
    """Return the quality of a session in a word, and how many metrics say so."""
    if not measures:
        return "Quality: not measured."
    out, total = sum(measure.flagged for measure in measures), plural(len(measures), "metric")
    if out:
        are = "is" if out == 1 else "are"
        return f"Quality: to be checked. {out} of {total} {are} out of the limits."
    return f"Quality: within the limits ({total})."


def mark(text: str) -> Markup:
    """Return a cell that stands out, by a sign and by colour, in light, dark and print."""
    return Markup(_MARK).format(sign=_WARNING, text=text)


def problems(
    measures: Iterable[Measure], pictures: Sequence[Look], session: str = ""
) -> tuple[str, ...]:
    """Return one sentence a flagged measure: what is wrong, and at which picture to look.

    pictures : of the same session; session : label without ``ses-``, named where not empty
    """
    where = f"ses-{session}: " if session else ""
    return tuple(
        Markup("{}{} {}").format(where, finding(measure), _look(measure, pictures))
        for measure in measures
        if measure.flagged
    )


def finding(measure: Measure) -> str:
    """Return in words what a flagged measure says, and of which image."""
    tail = f": {measure.meaning} ({kind_of(measure.image)})"
    if math.isnan(measure.value):
        return f"{measure.metric} is undefined{tail}"
    return f"{measure.metric} {value_text(measure)} is {measure.verdict}{tail}"


def _look(measure: Measure, pictures: Sequence[Look]) -> Markup:
    """``— look at <picture>``, of those that show this metric the one most like the image."""
    entities, suffix, _ = parse_name(measure.image)
    wanted = LOOK_AT.get(measure.metric, ())
    fitting = [p for p in pictures if p.entities.get("desc") in wanted]
    if not fitting:
        return Markup("— look at the image itself")

    def likeness(picture: Look) -> tuple[bool, int, int]:
        shared = entities.items() & dict(picture.entities).items()
        return picture.suffix == suffix, len(shared), -wanted.index(picture.entities["desc"])

    best = max(fitting, key=likeness)
    return Markup('— look at <a href="#{}">{}</a>').format(best.anchor, best.title)


def value_text(measure: Measure) -> str:
    """Return the value with four digits that count, a whole number as it is."""
    value = measure.value
    if value.is_integer() and abs(value) < 1e9:
        return f"{value:.0f}"
    return number(value, 4)


def kind_of(image: str) -> str:
    """Return the name of an image without participant and session."""
    return "_".join(p for p in image.split("_") if not p.startswith(("sub-", "ses-")))
