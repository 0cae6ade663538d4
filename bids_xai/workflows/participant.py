"""The participant level: records → graph → derivatives → pages, and what became of each session."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bids_xai.bids import run_log
from bids_xai.bids.dataset import write_atlas_description, write_dataset_files
from bids_xai.bids.derivatives import open_derivatives
from bids_xai.bids.layout import check_dataset, select_participants
from bids_xai.bids.records import Session
from bids_xai.bids.sessions.answers import SessionRecords
from bids_xai.bids.sessions.filters import read_filters
from bids_xai.bids.sessions.index import open_index
from bids_xai.bids.sessions.query import OFFER, collect_sessions
from bids_xai.errors import NothingMatchedError, UserError
from bids_xai.reports.citation import write_citation
from bids_xai.reports.participant.qc import finding
from bids_xai.settings import RunSettings
from bids_xai.tables.qc import SESSION_QC, qc_path
from bids_xai.workflows.engine import run_jobs
from bids_xai.workflows.jobs import Outcome, SessionJob
from bids_xai.workflows.option_rules import check_fit, check_options
from bids_xai.workflows.pages import read_problems, remember, write_pages, written_participants
from bids_xai.workflows.plugin import read_plugin
from bids_xai.workflows.readiness import ReadyModel, ready_model, ready_templates
from bids_xai.workflows.session_jobs import explanation_job, preprocessing_job

LOG = logging.getLogger("bids_xai")

_NO_T1W = (
    "no T1w image in this session: only the maps on their native grid were made. "
    "Fix: add a T1w image of the same session"
)


@dataclass
class ParticipantRun:
    """What a run did: session labels by outcome; ``failed`` maps a label to its message."""

    done: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    pages: list[Path] = field(default_factory=list)


def run_participants(settings: RunSettings) -> ParticipantRun:
    """Make the derivatives of every selected session; one failing does not stop the others.

    Raises :class:`UserError` for what concerns the whole run (dataset, labels, template, model).
    """
    if settings.reports_only:
        return _only_pages(settings)
    raw = check_dataset(settings.bids_dir, settings.skip_bids_validation)
    if settings.sloppy:
        LOG.warning(
            "--sloppy: coarse masks and registrations, for trying things out; never for results"
        )
    check_options(settings)
    if settings.use_plugin is not None:
        read_plugin(settings.use_plugin)
    participants = select_participants(settings.bids_dir, settings.participant_label)
    run = ParticipantRun()
    sessions, keep = _collect(participants, settings, run)
    todo = _todo([preprocessing_job(session, settings) for session in sessions], settings)
    atlases = ready_templates(settings) if todo or settings.model is not None else []
    model = ready_model(settings)
    if settings.dry_run:
        LOG.info("would preprocess: %s", ", ".join(job.label for job in todo) or "nothing")
        return run
    for atlas in atlases:
        write_atlas_description(settings.output_dir, atlas.name, atlas.description)
    if todo:
        _write_dataset_files(settings, raw)
    if todo or model is not None:
        write_citation(settings, None if model is None else model.card)
    if run.failed:
        LOG.warning(
            "%d participant(s) cannot be processed; reasons are given at the end", len(run.failed)
        )
    changed = _work(sessions, todo, settings, model, run)
    keep()
    _draw(participants, changed, settings, run)
    return run


def _work(
    sessions: Sequence[Session],
    todo: Sequence[SessionJob],
    settings: RunSettings,
    model: ReadyModel | None,
    run: ParticipantRun,
) -> set[str]:
    """Preprocess and explain; enter what became of the sessions, and return those that changed."""
    preprocessed = run_jobs(todo, settings, "preprocessing")
    run.failed |= _without_t1w(sessions) | preprocessed.failed
    stopped = settings.stop_on_first_crash and bool(preprocessed.failed)
    ready = [s for s in sessions if s.label not in run.failed and not stopped]
    explained = _explain(ready, settings, model)
    run.failed |= explained.failed
    touched = {*preprocessed.done, *explained.done}
    run.done = [s.label for s in sessions if s.label in touched - set(run.failed)]
    run.unchanged = [s.label for s in sessions if s.label not in touched | set(run.failed)]
    _warn_of_quality(settings, [s for s in sessions if s.label in touched])
    return touched


def _without_t1w(sessions: Sequence[Session]) -> dict[str, str]:
    """Label → message of sessions without a T1w image, with the image that may be meant."""
    messages = {}
    for session in sessions:
        if session.t1w is None:
            offers = [f" ({note})" for note in session.notes if note.startswith(OFFER)]
            messages[session.label] = f"{_NO_T1W}{''.join(offers)}."
    return messages


def _draw(
    participants: Sequence[str], changed: Iterable[str], settings: RunSettings, run: ParticipantRun
) -> None:
    """Draw the pages of those whose sessions changed or failed, and those that are missing.

    changed : labels of sessions
    """
    labels = (*changed, *run.failed)
    outdated = {label.partition("_")[0].removeprefix("sub-") for label in labels}
    missing = {p for p in participants if not (settings.output_dir / f"sub-{p}.html").exists()}
    to_draw = sorted(outdated | missing)
    if to_draw:
        run_log.begin(settings)
    problems = remember(settings.output_dir, participants, run.failed, [*run.done, *run.unchanged])
    run.pages, undrawn = _write_pages(to_draw, problems, settings)
    run.failed = undrawn | run.failed


def _write_pages(
    participants: Sequence[str], problems: Mapping[str, str], settings: RunSettings
) -> tuple[list[Path], dict[str, str]]:
    return write_pages(
        settings.output_dir,
        participants,
        problems,
        settings.nprocs,
        bids_dir=settings.bids_dir,
        model=settings.model,
    )


def _only_pages(settings: RunSettings) -> ParticipantRun:
    """Draw the pages of what is there; what failed before is shown as it was told then."""
    output_dir = settings.output_dir
    participants = written_participants(output_dir, settings.participant_label)
    if settings.dry_run:
        LOG.info("would draw the pages of %d participant(s)", len(participants))
        return ParticipantRun()
    run_log.begin(settings)
    problems: dict[str, str] = {}
    for participant in participants:
        problems |= read_problems(output_dir, participant)
    run = ParticipantRun()
    run.pages, run.failed = _write_pages(participants, problems, settings)
    LOG.info("%d page(s) written from the existing files", len(run.pages))
    return run


def _warn_of_quality(settings: RunSettings, sessions: Sequence[Session]) -> None:
    """Say in the log what wants a look, in the words of the pages."""
    for session in sessions:
        file = settings.output_dir / qc_path(session.participant, session.session or "")
        for measure in SESSION_QC.read(file) if file.is_file() else ():
            if measure.flagged:
                LOG.warning("%s: %s", session.label, finding(measure))


def _todo(jobs: Sequence[SessionJob], settings: RunSettings) -> list[SessionJob]:
    todo = [job for job in jobs if not job.is_done(settings.output_dir.resolve())]
    for label in sorted({job.label for job in jobs} - {job.label for job in todo}):
        LOG.debug("%s: nothing has changed", label)
    return todo


def _explain(
    sessions: Sequence[Session], settings: RunSettings, model: ReadyModel | None
) -> Outcome:
    """Predict and explain what is preprocessed, where there is a model."""
    if model is None:
        return Outcome()
    jobs = [job for s in sessions if (job := explanation_job(s, settings, model)) is not None]
    on_gpu = model.device != "cpu"  # one at a time here: they would share its memory
    return run_jobs(_todo(jobs, settings), settings, "explaining", one_by_one=on_gpu)


def _collect(
    participants: Sequence[str], settings: RunSettings, run: ParticipantRun
) -> tuple[list[Session], Callable[[], None]]:
    """The sessions to work on, and what keeps those that pybids was asked for.

    It is asked for participants of whom a file has changed.
    """
    question: dict[str, Any] = {
        "sessions": list(settings.session_label),
        "filters": read_filters(settings.bids_filter_file),
        "inputs": list(settings.inputs),
        "brain_masks": settings.brain_mask == "derivatives",
        "assume_orientation": settings.assume_orientation,
    }
    folders = open_derivatives(settings.derivatives)
    index_dir = settings.bids_database_dir
    records = SessionRecords(settings.output_dir, settings.bids_dir, folders, question, index_dir)
    by_participant = {participant: records.read(participant) for participant in participants}
    asked = [participant for participant, kept in by_participant.items() if kept is None]
    errors: list[UserError] = []
    if asked:
        indexed = asked if settings.participant_label or len(asked) < len(participants) else ()
        index = open_index(settings.bids_dir, indexed, index_dir)
    for participant, remembered in by_participant.items():
        try:
            if remembered is None:
                if participant in index.unreadable:
                    raise index.unreadable[participant]
                answer = collect_sessions(
                    index.layout, participant, derivatives=folders, **question
                )
                by_participant[participant] = answer
                records.write_beside_index(participant, answer)
            check_fit(by_participant[participant] or (), settings)
        except UserError as error:
            by_participant[participant] = None
            run.failed[f"sub-{participant}"] = str(error)
            errors.append(error)
    sessions = [session for some in by_participant.values() for session in some or ()]
    for session in sessions:
        for note in session.notes:
            LOG.warning("%s: %s", session.label, note)
        images = [os.path.relpath(file, settings.bids_dir) for file in session.images]
        LOG.debug("%s: the images are %s", session.label, ", ".join(images))
    if not sessions and (len(errors) == 1 or _all_unmatched(errors)):
        raise errors[0]  # one cause for all: its own exit status says more than "some failed"

    def keep() -> None:
        for participant in asked:
            if answer := by_participant[participant]:
                records.write(participant, answer)

    return sessions, keep


def _all_unmatched(errors: Sequence[UserError]) -> bool:
    return bool(errors) and all(isinstance(error, NothingMatchedError) for error in errors)


def _write_dataset_files(settings: RunSettings, raw: dict[str, Any]) -> None:
    others = dict(settings.derivatives)
    write_dataset_files(settings.output_dir, settings.bids_dir, raw, others)
