"""The quality table of a session in words: what is out of its limits, and where to look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bids_xai.bids.names import parse_name
from bids_xai.reports.blocks import Block, TableBlock
from bids_xai.tables.numbers import MISSING, number, plural
from bids_xai.tables.qc import Measure

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
    "FitMissingEchoFraction": ("histogram", "residual"),
    "BrainInvalidFraction": ("histogram", "registration"),
    "BrainAtBoundFraction": ("histogram", "registration"),
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
class Look:
    """A picture of the page: its title, the id of its heading, and what its file name says."""

    title: str
    anchor: str
    entities: Mapping[str, str]
    suffix: str


def qc_table(measures: Sequence[Measure], caption_start: str = "") -> list[Block]:
    """Return the table of a session, flagged lines first and marked; nothing for no lines.

    caption_start : what the caption begins with
    """
    if not measures:
        return []
    ordered = sorted(measures, key=lambda measure: not measure.flagged)
    out = sum(measure.flagged for measure in measures)
    caption = f"{caption_start}{out} of {plural(len(measures), 'metric')} out of the limits"
    header = ("Metric", "Verdict", "Value", "Limits", "Image")
    return [TableBlock(caption, header, tuple(_line(measure) for measure in ordered))]


def _line(measure: Measure) -> tuple[str, ...]:
    """The verdict comes early, and the meaning stands under the name: on a phone the last columns
    lie outside the screen."""
    stands_out = mark if measure.flagged else str
    return (
        Markup(_NAMED).format(stands_out(measure.metric), measure.meaning),
        stands_out(measure.verdict),
        value_text(measure),
        measure.limits,
        measure.kind,
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
    tail = f": {measure.meaning} ({measure.kind})"
    if measure.value is None:
        return f"{measure.metric} is undefined{tail}"
    return f"{measure.metric} {value_text(measure)} is {measure.verdict}{tail}"


def _look(measure: Measure, pictures: Sequence[Look]) -> Markup:
    """``— look at <picture>``, of those that show this metric the one most like the image."""
    entities, suffix, _ = parse_name(measure.image)
    kinds = LOOK_AT.get(measure.metric, ())
    fitting = [p for p in pictures if p.entities.get("desc") in kinds]
    if not fitting:
        return Markup("— look at the image itself")

    def likeness(picture: Look) -> tuple[bool, int, int]:
        shared = entities.items() & dict(picture.entities).items()
        return picture.suffix == suffix, len(shared), -kinds.index(picture.entities.get("desc", ""))

    best = max(fitting, key=likeness)
    return Markup('— look at <a href="#{}">{}</a>').format(best.anchor, best.title)


def value_text(measure: Measure) -> str:
    """Return the value with four digits that count, a whole number as it is."""
    value = measure.value
    if value is None:
        return MISSING
    if value.is_integer() and abs(value) < 1e9:
        return f"{value:.0f}"
    return number(value, 4)
