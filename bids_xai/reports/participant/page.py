"""The page of one participant: all sessions, from files on disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids_xai.bids.files import write_text
from bids_xai.figures.scene import CONVENTION
from bids_xai.reports.blocks import Block, Items, Section, Subheading, TableBlock, Text, render
from bids_xai.reports.floor_share import floor_notes
from bids_xai.reports.participant.context import Sources
from bids_xai.reports.participant.methods import SessionMethods, how_made, settings_text
from bids_xai.reports.participant.pictures import HOW_TO_READ, RELMAP, SessionPicture
from bids_xai.reports.participant.pictures import pictures as pictures_of
from bids_xai.reports.participant.prediction import OPINION, SessionPredictions, predictions
from bids_xai.reports.participant.qc import problems as problems_of
from bids_xai.reports.participant.qc import qc_table, verdict_words
from bids_xai.reports.participant.regions import region_tables
from bids_xai.reports.participant.session_files import anat_folder, sessions_of, sidecar_of
from bids_xai.reports.participant.viewer import session_page
from bids_xai.reports.viewer import link as viewer_link
from bids_xai.reports.volumes import Folder, ImageFile
from bids_xai.tables.numbers import number, percent, read_object
from bids_xai.tables.qc import SESSION_QC, Measure, qc_file

_NO_MODEL = "No model was applied to this session, so there is no prediction."
_SLOPPY = (
    "Made with --sloppy: coarse masks and registrations, for tests only. Run the same command "
    "without --sloppy before you use any of it."
)
_NOTHING = "No derivative of this session was found."


@dataclass(frozen=True)
class _Visit:
    """A session of the page; label : empty where sessions have none."""

    label: str
    path: Path
    folder: Folder
    predictions: SessionPredictions
    methods: SessionMethods
    measures: tuple[Measure, ...]
    shown: tuple[SessionPicture, ...]

    @property
    def title(self) -> str:
        return f"Session {self.label}" if self.label else ""

    @property
    def prefix(self) -> str:
        """What a heading begins with."""
        return f"{self.title}: " if self.label else ""

    def is_input(self, shown: SessionPicture) -> bool:
        """Whether a picture shows what the models read; without any, what one could read."""
        suffixes = {str(model.suffix) for model in self.predictions.models} or {shown.look.suffix}
        quantitative = shown.look.suffix.endswith("map") or bool(self.predictions.models)
        return quantitative and any(shown.shows_input(suffix) for suffix in suffixes)


def write_participant_page(
    output_dir: Path,
    participant: str,
    problems: Sequence[str],
    *,
    bids_dir: Path | None = None,
    model: Path | None = None,
) -> Path:
    """Write ``<out>/sub-X.html`` and return its path.

    participant : label without ``sub-``; problems : one sentence each, shown on top, followed by
        the quality measures that are out of their limits
    bids_dir, model : of the run, for the true class, ages, and the study the model comes from
    Raises :class:`BadDataError` for a table that is damaged.
    """
    sources = Sources(output_dir, participant, bids_dir, model)
    visits = [_visit(sources, label) for label in sessions_of(output_dir, participant)]
    remarks = [sentence for visit in visits for sentence in _remarks(visit)]
    sections = [_status([*problems, *remarks]), *(_sections(sources, visits) if visits else [])]
    lead = "bids_xai participant report, read from the files beside it."
    page = render(f"sub-{participant}", lead, sections)
    return write_text(output_dir / f"sub-{participant}.html", page)


def _visit(sources: Sources, label: str) -> _Visit:
    path = anat_folder(sources.output_dir, {"sub": sources.participant, "ses": label})
    table = qc_file(path)
    return _Visit(
        label=label,
        path=path,
        folder=Folder.of(path),
        predictions=predictions(path, sources, label),
        methods=SessionMethods.of(sources.output_dir, sources.participant, label),
        measures=tuple(SESSION_QC.read(table)) if table else (),
        shown=tuple(pictures_of(sources.output_dir, sources.participant, label)),
    )


def _remarks(visit: _Visit) -> tuple[str, ...]:
    """What to say of a session on top of the page."""
    looks = [shown.look for shown in visit.shown]
    sloppy = (f"{visit.prefix}{_SLOPPY}",) if visit.methods.sloppy else ()
    return (*sloppy, *visit.predictions.problems, *problems_of(visit.measures, looks, visit.label))


def _status(problems: Sequence[str]) -> Section:
    if problems:
        return Section("Problems", (Items(tuple(problems), "problem"),))
    return Section("Problems", (Text("None reported."),))


def _sections(sources: Sources, visits: Sequence[_Visit]) -> list[Section]:
    """Everything below the problems; a section without content is left out."""
    methods = [(v.title, v.folder, v.methods) for v in visits]
    regions = [b for v in visits for b in region_tables(v.path, sources, v.prefix)]
    sections = [
        Section("Summary", tuple(_summary(visits))),
        Section("Input map", tuple(_inputs(visits))),
        Section("Heatmaps", tuple(_heatmaps(sources, visits))),
        Section("Regions", tuple(regions)),
        *_courses(sources, visits),
        Section("Quality", tuple(_quality(visits))),
        how_made(methods, [model for v in visits for model in v.predictions.models]),
    ]
    return [section for section in sections if section.blocks]


def _summary(visits: Sequence[_Visit]) -> list[Block]:
    blocks: list[Block] = []
    for visit in visits:
        predicted = visit.predictions.blocks
        blocks += [Subheading(visit.title)] if visit.label else []
        if not visit.folder.images and not predicted:
            blocks.append(Text(_NOTHING, "note"))
            continue
        quality = Text(verdict_words(visit.measures))
        blocks += [*predicted, quality] if predicted else [quality, Text(_NO_MODEL)]
    any_prediction = any(visit.predictions.blocks for visit in visits)
    return [*blocks, Text(OPINION, "note")] if any_prediction else blocks


def _inputs(visits: Sequence[_Visit]) -> list[Block]:
    """The map that the model reads; without a model every quantitative map."""
    return _pictures((v, [s for s in v.shown if v.is_input(s)]) for v in visits)


def _heatmaps(sources: Sources, visits: Sequence[_Visit]) -> list[Block]:
    blocks: list[Block] = []
    for visit in visits:
        blocks += _relevance(visit.folder, _capital(f"{visit.prefix}relevance maps"))
        page = session_page(sources.output_dir, sources.participant, visit.label)
        words = _capital(f"{visit.prefix}walk through the heatmaps over the T1w image")
        blocks += viewer_link(page, sources.output_dir, words)
        blocks += _pictures([(visit, [s for s in visit.shown if s.is_heatmap])])
    return [Text(f"{CONVENTION} {HOW_TO_READ}", "note"), *blocks] if blocks else []


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _relevance(folder: Folder, caption: str) -> list[Block]:
    """Where relevance starts and how much of it lies in the brain, from the sidecars."""
    maps = [(i.entities, _read_relevance(i)) for i in folder.find(RELMAP)]
    rows = tuple(
        (
            relevance.method,
            entities.get("model", "n/a"),
            entities.get("space", "n/a"),
            number(relevance.start),
            settings_text(relevance.options),
            percent(relevance.inner_mask_share),
        )
        for entities, relevance in maps
    )
    header = ("Method", "Model", "Space", "Starts at", "Options", "In the brain mask")
    shares = {relevance.method: relevance.floor_share for _, relevance in maps}
    notes = [note for method, share in shares.items() for note in floor_notes(method, [share])]
    return [TableBlock(caption, header, rows), *notes] if rows else []


@dataclass(frozen=True)
class _Relevance:
    """What the sidecar of a heatmap says; options : without what the other columns say."""

    method: str
    start: str | None
    options: Mapping[str, Any]
    inner_mask_share: float | None
    floor_share: float | None


def _read_relevance(image: ImageFile) -> _Relevance:
    sidecar = read_object(sidecar_of(image.path))
    options, share = sidecar.get("Options"), sidecar.get("InnerMaskShare")
    at_floor = sidecar.get("FloorShare")
    recorded = options if isinstance(options, Mapping) else {}
    return _Relevance(
        method=str(sidecar.get("Method", image.entities.get("desc", "n/a"))),
        start=sidecar.get("Start"),
        options={k: v for k, v in recorded.items() if k not in ("method", "target", "start")},
        inner_mask_share=float(share) if isinstance(share, (int, float)) else None,
        floor_share=float(at_floor) if isinstance(at_floor, (int, float)) else None,
    )


def _courses(sources: Sources, visits: Sequence[_Visit]) -> list[Section]:
    labelled = [(visit.label, visit.path) for visit in visits if visit.label]
    if len(labelled) < 2 or not any(next(p.glob("*_regions.tsv"), None) for _, p in labelled):
        return []
    from bids_xai.reports.participant.trajectories import trajectories

    return trajectories(sources, labelled)


def _quality(visits: Sequence[_Visit]) -> list[Block]:
    blocks: list[Block] = []
    for visit in visits:
        blocks += qc_table(visit.measures, visit.prefix)
        rest = [s for s in visit.shown if not s.is_heatmap and not visit.is_input(s)]
        blocks += _pictures([(visit, rest)])
    return blocks


def _pictures(visits: Iterable[tuple[_Visit, list[SessionPicture]]]) -> list[Block]:
    return [
        block
        for visit, pictures in visits
        for picture in pictures
        for block in picture.blocks(visit.prefix)
    ]
