"""The participant level: records → graph → derivatives → pages, and what became of each session."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bids_xai
from bids_xai.bids import run_log
from bids_xai.bids.dataset import write_atlas_description, write_dataset_files
from bids_xai.bids.derivatives import open_derivatives
from bids_xai.bids.layout import check_dataset, open_layout, select_participants
from bids_xai.bids.query import RAW_INPUTS, collect_sessions, read_filters
from bids_xai.bids.records import Session
from bids_xai.bids.stamps import StampRecord, fingerprint, session_stamp
from bids_xai.core.relaxometry.fit import NOISE_FLOOR_METHODS
from bids_xai.errors import NothingMatchedError, UsageError, UserError
from bids_xai.reports.citation import explanation_methods, preprocessing_methods, write_citation
from bids_xai.reports.participant.qc import finding
from bids_xai.settings import RELEVANCE_RESOLUTION, OutputSpace, RunSettings
from bids_xai.tables.qc import SESSION_QC, qc_path
from bids_xai.templates.lookup import (
    Atlas,
    AtlasSpec,
    atlas_files,
    load_atlas,
    load_template,
    parse_atlas,
)
from bids_xai.workflows.engine import Job, Outcome, run_jobs
from bids_xai.workflows.pages import read_problems, remember, write_pages, written_participants
from bids_xai.workflows.plugin import read_plugin

if TYPE_CHECKING:
    from bids_xai.models.card import ModelCard

LOG = logging.getLogger("bids_xai")

_NO_T1W = (
    "no T1w image in this session: only the maps on their native grid were made. "
    "Fix: add a T1w image of the same session."
)


@dataclass(frozen=True)
class ReadyModel:
    """A trained model that fits this run, and the device that its workers choose by."""

    path: Path
    card: ModelCard
    device: str


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
            "--sloppy: coarse masks and registrations, to try things out; never for results"
        )
    _check_options(settings)
    if settings.use_plugin is not None:
        read_plugin(settings.use_plugin)
    participants = select_participants(settings.bids_dir, settings.participant_label)
    chosen = participants if settings.participant_label else ()
    layout = open_layout(settings.bids_dir, chosen, settings.bids_database_dir)
    run = ParticipantRun()
    sessions = _collect(layout, participants, settings, run)
    todo = _todo([_preprocessing(session, settings) for session in sessions], settings)
    atlases = _check_templates(settings) if todo or settings.model is not None else []
    model = _check_model(settings)
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
            "%d participant(s) cannot be worked on; why is said at the end", len(run.failed)
        )
    made = run_jobs(todo, settings, "preprocessing")
    run.failed |= {s.label: _NO_T1W for s in sessions if s.t1w is None} | made.failed
    stopped = settings.stop_on_first_crash and bool(made.failed)
    ready = [s for s in sessions if s.label not in run.failed and not stopped]
    explained = _explain(ready, settings, model)
    run.failed |= explained.failed
    touched = {*made.done, *explained.done}
    run.done = [s.label for s in sessions if s.label in touched - set(run.failed)]
    run.unchanged = [s.label for s in sessions if s.label not in touched | set(run.failed)]
    _warn_of_quality(settings, [s for s in sessions if s.label in touched])
    changed = {label.partition("_")[0].removeprefix("sub-") for label in (*touched, *run.failed)}
    missing = {p for p in participants if not (settings.output_dir / f"sub-{p}.html").exists()}
    to_draw = sorted(changed | missing)
    if to_draw:
        run_log.begin(settings)
    known = remember(settings.output_dir, participants, run.failed, [*run.done, *run.unchanged])
    run.pages, undrawn = write_pages(
        settings.output_dir,
        to_draw,
        known,
        settings.nprocs,
        bids_dir=settings.bids_dir,
        model=settings.model,
    )
    run.failed = undrawn | run.failed
    return run


def _only_pages(settings: RunSettings) -> ParticipantRun:
    """Draw the pages of what is there; what failed before is shown as it was told then."""
    output_dir = settings.output_dir
    participants = written_participants(output_dir, settings.participant_label)
    if settings.dry_run:
        LOG.info("would draw the pages of %d participant(s)", len(participants))
        return ParticipantRun()
    run_log.begin(settings)
    known: dict[str, str] = {}
    for participant in participants:
        known |= read_problems(output_dir, participant)
    run = ParticipantRun()
    run.pages, run.failed = write_pages(
        output_dir,
        participants,
        known,
        settings.nprocs,
        bids_dir=settings.bids_dir,
        model=settings.model,
    )
    LOG.info("%d page(s) written from the files that are there", len(run.pages))
    return run


def _warn_of_quality(settings: RunSettings, sessions: Sequence[Session]) -> None:
    """Say in the log what wants a look, in the words of the pages."""
    for session in sessions:
        file = settings.output_dir / qc_path(session.participant, session.session or "")
        for measure in SESSION_QC.read_if_written(file):
            if measure.flagged:
                LOG.warning("%s: %s", session.label, finding(measure))


def _todo(jobs: Sequence[Job], settings: RunSettings) -> list[Job]:
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
    jobs = [job for s in sessions if (job := _explanation(s, settings, model)) is not None]
    on_gpu = model.device != "cpu"  # one at a time here: they would share its memory
    return run_jobs(_todo(jobs, settings), settings, "explaining", one_by_one=on_gpu)


def _collect(
    layout: Any, participants: Sequence[str], settings: RunSettings, run: ParticipantRun
) -> list[Session]:
    filters = read_filters(settings.bids_filter_file)
    folders = open_derivatives(settings.derivatives)
    sessions: list[Session] = []
    errors: list[UserError] = []
    for participant in participants:
        try:
            sessions += collect_sessions(
                layout,
                participant,
                settings.session_label,
                filters,
                settings.inputs,
                folders,
                brain_masks=settings.brain_mask == "derivatives",
            )
        except UserError as error:
            run.failed[f"sub-{participant}"] = str(error)
            errors.append(error)
    for session in sessions:
        for note in session.notes:
            LOG.warning("%s: %s", session.label, note)
        images = [os.path.relpath(file, settings.bids_dir) for file in session.images]
        LOG.debug("%s: the images are %s", session.label, ", ".join(images))
    if not sessions and (len(errors) == 1 or _all_unmatched(errors)):
        raise errors[0]  # one cause for all: its own exit status says more than "some failed"
    return sessions


def _all_unmatched(errors: Sequence[UserError]) -> bool:
    return bool(errors) and all(isinstance(error, NothingMatchedError) for error in errors)


def _preprocessing(session: Session, settings: RunSettings) -> Job:
    options = {
        "version": bids_xai.__version__,
        "inputs": list(settings.inputs),
        "derivatives": [(name, str(root.resolve())) for name, root in settings.derivatives],
        "r2star": settings.r2star_options,
        "megre_transform": settings.megre_transform,
        "brain_mask": settings.brain_mask,
        "registration": [settings.registration, settings.registration_engine],
        "atlases": list(settings.atlas),
        "output_spaces": [str(space) for space in settings.output_spaces],
        "random_seed": settings.random_seed,
        "sloppy": settings.sloppy,
    }
    inputs = [*session.inputs, *atlas_files(settings.atlas)]
    if settings.brain_mask == "synthstrip" and settings.synthstrip_model is not None:
        inputs.append(settings.synthstrip_model)
    derivatives = [name for name, _ in settings.derivatives]
    about = {
        "methods": preprocessing_methods(settings).plain,
        "settings": _told(options, settings, derivatives=derivatives),
    }
    record = StampRecord(_stamp(session, settings), fingerprint(inputs, options), about)
    build = partial(_session_graph, session=session, settings=settings, record=record)
    return Job(session.label, session.participant, record.stamp, record.digest, build)


def _told(options: dict[str, Any], settings: RunSettings, **own: Any) -> dict[str, Any]:
    """The options for a page that is passed on: names in place of paths."""
    return options | {"atlases": [parse_atlas(text).label for text in settings.atlas]} | own


def _session_graph(name: str, **parts: Any) -> Any:
    from bids_xai.workflows.session import session_workflow

    return session_workflow(name, **parts)


def _explanation(session: Session, settings: RunSettings, model: ReadyModel) -> Job | None:
    """The job that explains a session's maps, ``None`` where it has none of the model's kind."""
    from bids_xai.models.card import model_files
    from bids_xai.stages.explain import model_label
    from bids_xai.workflows.explanation import TORCH_GB, scan_files

    scans = scan_files(session, model.card, settings)
    if not scans:
        return None
    options = {
        "version": bids_xai.__version__,
        "model": str(model.path.resolve()),
        "attribution": list(settings.attribution),
        "target": settings.target,
        "renormalise": settings.renormalise,
        "template": settings.output_spaces[0].template,
        "atlases": list(settings.atlas),
    }
    inputs = [file for scan in scans for file in scan.files] + atlas_files(settings.atlas)
    digest = fingerprint([*inputs, *model_files(model.path)], options)
    about = {
        "methods": explanation_methods(settings, model.card).plain,
        "settings": _told(options, settings, model=model_label(model.card)),
    }
    record = StampRecord(_stamp(session, settings, "_explanation"), digest, about)
    build = partial(
        _explanation_graph,
        session=session,
        scans=scans,
        settings=settings,
        record=record,
        device=model.device,
    )
    return Job(session.label, session.participant, record.stamp, digest, build, memory_gb=TORCH_GB)


def _explanation_graph(name: str, **parts: Any) -> Any:
    from bids_xai.workflows.explanation import explanation_workflow

    return explanation_workflow(name, **parts)


def _stamp(session: Session, settings: RunSettings, ending: str = "") -> Path:
    return session_stamp(settings.output_dir.resolve(), session.label, ending)


def _write_dataset_files(settings: RunSettings, raw: dict[str, Any]) -> None:
    others = dict(settings.derivatives)
    write_dataset_files(settings.output_dir, settings.bids_dir, raw, others)


def _check_options(settings: RunSettings) -> None:
    """Raise :class:`UsageError` for options that do not go together, before any work."""
    maps = [name for name in settings.inputs if name not in RAW_INPUTS]
    names = [name for name, _ in settings.derivatives]
    method = settings.r2star_method
    templates = {space.template for space in settings.output_spaces}
    cohorts = {(space.template, space.cohort) for space in settings.output_spaces}
    model = settings.synthstrip_model
    where = "say where: --derivatives NAME=PATH"
    wrong: dict[str, tuple[bool, str]] = {
        f"--inputs {','.join(maps)} are maps made elsewhere": (bool(maps) and not names, where),
        "--brain-mask derivatives needs a dataset": (
            settings.brain_mask == "derivatives" and not names,
            where,
        ),
        "--brain-mask synthstrip needs the weights of SynthStrip": (
            settings.brain_mask == "synthstrip" and (model is None or not model.is_file()),
            "download them from FreeSurfer and give --synthstrip-model FILE",
        ),
        "--synthstrip-model has no effect without --brain-mask synthstrip": (
            model is not None and settings.brain_mask != "synthstrip",
            "add --brain-mask synthstrip, or leave the model out",
        ),
        f"--registration-engine greedy has no effect with --registration {settings.registration}": (
            settings.registration_engine == "greedy" and settings.registration != "nonlinear",
            "leave out the engine: only the nonlinear step can be done by greedy",
        ),
        "--derivatives names must differ, and 'raw' is the input folder": (
            len({*names, "raw"}) <= len(names),
            "give each dataset a name of its own",
        ),
        "R2starmap from --derivatives and R2* from megre would have one name": (
            "megre" in settings.inputs and "R2starmap" in maps,
            "leave out one of the two inputs",
        ),
        f"--noise-floor is not for {method}": (
            settings.noise_floor > 0 and method not in NOISE_FLOOR_METHODS,
            f"use --r2star-method {' or '.join(NOISE_FLOOR_METHODS)}",
        ),
        f"--rician is not for {method}": (
            settings.rician and method != "nlls",
            "use --r2star-method nlls",
        ),
        "two cohorts of one template": (
            len(cohorts) > len(templates),
            "run them one after the other into two output folders",
        ),
        "--model does not know the cohorts of templates": (
            settings.model is not None and bool(settings.output_spaces[0].cohort),
            "name a template without cohorts first in --output-spaces",
        ),
        "two --atlas share a name": (
            len({parse_atlas(text).label for text in settings.atlas}) < len(settings.atlas),
            "give each a NAME of its own: NAME=FILE",
        ),
    }
    for problem, (applies, fix) in wrong.items():
        if applies:
            raise UsageError(problem, fix=fix)
    if settings.registration_engine == "greedy":
        from bids_xai.stages.greedy_tools import greedy_modules

        greedy_modules()


def _check_templates(settings: RunSettings) -> list[Atlas]:
    """Fail before hours of work, not after; return the atlases."""
    first = settings.output_spaces[0]
    relevant: list[Atlas] = []
    if settings.model is not None:  # relevance is reported on this grid
        from bids_xai.templates.grid import load_atlases

        load_template(OutputSpace(first.template, RELEVANCE_RESOLUTION))
        relevant = load_atlases(first.template, settings.atlas)
    for space in settings.output_spaces:
        load_template(space)
    specs: list[AtlasSpec | None] = [parse_atlas(text) for text in settings.atlas]
    found = [load_atlas(first, spec) for spec in specs or [None]]
    if None in found:
        LOG.warning("no atlas for %s: no region tables there", first.template)
    warped = [atlas for atlas in found if atlas is not None]
    return list({atlas.name: atlas for atlas in [*relevant, *warped]}.values())


def _check_model(settings: RunSettings) -> ReadyModel | None:
    """Read the model once, so that one clear message comes before the graph."""
    if settings.model is None:
        return None
    from bids_xai.models.card import load_model
    from bids_xai.runtime.device import choose_device
    from bids_xai.stages.model import check_request
    from bids_xai.workflows.explanation import model_space

    _, card = load_model(settings.model)
    made = {"R2starmap" if name == "megre" else name for name in settings.inputs} | {"T1w"}
    if card.suffix not in made:
        raise UsageError(
            f"the model reads {card.suffix}, which this run does not make",
            file=settings.model,
            fix=f"add {'megre' if card.suffix == 'R2starmap' else card.suffix} to --inputs",
        )
    model_space(card, settings)
    check_request(card, settings.attribution, settings.target)
    if settings.use_plugin:  # a batch system runs the graph: its nodes look for a device themselves
        return ReadyModel(settings.model, card, settings.device)
    device = choose_device(settings.device, ask_card=False)
    LOG.info("the model predicts and explains on %s", device)
    return ReadyModel(settings.model, card, "cpu" if device == "cpu" else settings.device)
