"""The participant level: records → graph → derivatives → pages, and what became of each session."""

from __future__ import annotations

import logging
import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bids_xai
from bids_xai.bids.dataset import write_atlas_description, write_dataset_files
from bids_xai.bids.files import remove_if_empty, write_text
from bids_xai.bids.names import label_of
from bids_xai.bids.query import (
    check_dataset,
    collect_sessions,
    open_layout,
    read_filters,
    select_participants,
)
from bids_xai.bids.records import Session
from bids_xai.bids.stamps import fingerprint, is_current
from bids_xai.errors import UserError
from bids_xai.reports.citation import write_citation
from bids_xai.settings import RELEVANCE_RESOLUTION, OutputSpace, RunSettings, to_toml
from bids_xai.templates.lookup import ATLAS_DESCRIPTIONS, load_atlas, load_template
from bids_xai.workflows.crashes import failures_from_crashes
from bids_xai.workflows.pages import write_pages

LOG = logging.getLogger("bids_xai")


@dataclass
class ParticipantRun:
    """What a run did: session labels by outcome; ``failed`` maps a label to its message."""

    done: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    pages: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class _Job:
    session: Session
    stamp: Path
    digest: str

    @property
    def node_name(self) -> str:
        return label_of(self.session.label)


def run_participants(settings: RunSettings) -> ParticipantRun:
    """Make the derivatives of every selected session; one failing does not stop the others.

    Raises :class:`UserError` for what concerns the whole run (dataset, labels, template, model).
    """
    raw = check_dataset(settings.bids_dir, settings.skip_bids_validation)
    layout = open_layout(settings.bids_dir)
    participants = select_participants(layout, settings.participant_label)
    run = ParticipantRun()
    sessions = _collect(layout, participants, settings, run)
    options = _options(settings)
    jobs = [_job(session, settings, options) for session in sessions]
    todo = [job for job in jobs if not is_current(job.stamp, job.digest, settings.output_dir)]
    run.unchanged = [job.session.label for job in jobs if job not in todo]
    if settings.dry_run:
        LOG.info("would process: %s", ", ".join(j.session.label for j in todo) or "nothing")
        return run
    if todo:
        _check_templates(settings)
        device = _check_model(settings)
        write_dataset_files(settings.output_dir, settings.bids_dir, raw)
        write_citation(
            settings.output_dir,
            settings.r2star_method,
            [str(space) for space in settings.output_spaces],
            settings.sloppy,
        )
        _process(todo, settings, device, run)
    changed = {job.session.participant for job in todo} | {
        label.partition("_")[0].removeprefix("sub-") for label in run.failed
    }
    missing = {p for p in participants if not (settings.output_dir / f"sub-{p}.html").exists()}
    run.pages = write_pages(
        settings.output_dir, sorted(changed | missing), run.failed, settings.nprocs
    )
    return run


def _collect(
    layout: Any, participants: Sequence[str], settings: RunSettings, run: ParticipantRun
) -> list[Session]:
    filters = read_filters(settings.bids_filter_file)
    sessions: list[Session] = []
    errors: list[UserError] = []
    for participant in participants:
        try:
            sessions += collect_sessions(layout, participant, settings.session_label, filters)
        except UserError as error:
            run.failed[f"sub-{participant}"] = str(error)
            errors.append(error)
    if errors and len(participants) == 1 and not sessions:
        raise errors[0]  # the run was about this one: its own exit status says more than "some"
    return sessions


def _options(settings: RunSettings) -> dict[str, Any]:
    """Everything but the input files that the results depend on."""
    options: dict[str, Any] = {
        "version": bids_xai.__version__,
        "r2star_method": settings.r2star_method,
        "output_spaces": [str(space) for space in settings.output_spaces],
        "random_seed": settings.random_seed,
        "sloppy": settings.sloppy,
    }
    if settings.model is not None:
        options |= {
            "model": str(settings.model.resolve()),
            "attribution": list(settings.attribution),
            "target": settings.target,
        }
    return options


def _job(session: Session, settings: RunSettings, options: dict[str, Any]) -> _Job:
    inputs = list(session.inputs)
    if settings.model is not None and settings.model.exists():
        folder = settings.model if settings.model.is_dir() else settings.model.parent
        inputs += [f for f in (folder / "model.json", folder / "model.safetensors") if f.exists()]
    stamp = settings.output_dir / "logs" / f"sub-{session.participant}" / f"{session.label}.json"
    return _Job(session, stamp.resolve(), fingerprint(inputs, options))


def _check_templates(settings: RunSettings) -> None:
    """Fail before hours of work, not after; describe the atlases."""
    if settings.model is not None:  # relevance is reported on this grid
        load_template(OutputSpace(settings.output_spaces[0].template, RELEVANCE_RESOLUTION))
    for space in settings.output_spaces:
        load_template(space)
        atlas = load_atlas(space)
        if atlas is None:
            LOG.warning("no atlas for %s: no region tables there", space.template)
            continue
        write_atlas_description(
            settings.output_dir, atlas.name, ATLAS_DESCRIPTIONS.get(atlas.name, atlas.name)
        )


def _check_model(settings: RunSettings) -> str:
    """Read the model once, so that one clear message comes before the graph; return the device."""
    if settings.model is None:
        return "cpu"
    from bids_xai.interfaces.explain import choose_device
    from bids_xai.interfaces.model_stage import check_card
    from bids_xai.models.card import load_model

    _, card = load_model(settings.model)
    check_card(card, settings.attribution, settings.target, settings.model)
    if settings.device != "auto":
        choose_device(settings.device)
    return settings.device


def _process(jobs: list[_Job], settings: RunSettings, device: str, run: ParticipantRun) -> None:
    run_id = datetime.now(UTC).strftime("%Y%m%d-%H%M%S_") + uuid.uuid4().hex[:8]
    log_folders = {
        job.session.participant: settings.output_dir.resolve()
        / "logs" / f"sub-{job.session.participant}" / run_id
        for job in jobs
    }  # fmt: skip
    for folder in log_folders.values():
        write_text(folder / "settings.toml", to_toml(settings.as_plain()))
    crashes = settings.work_folder.resolve() / f"crashes_{run_id}"
    crashes.mkdir(parents=True, exist_ok=True)
    problem = _run_graph(jobs, settings, device, crashes)
    messages = failures_from_crashes(crashes, log_folders_by_node(jobs, log_folders))
    unexplained: list[str] = []
    for job in jobs:
        label = job.session.label
        if is_current(job.stamp, job.digest, settings.output_dir.resolve()):
            run.done.append(label)
            _clean(job, settings)
        elif job.node_name in messages:
            run.failed[label] = messages[job.node_name]
        else:
            unexplained.append(label)
    shutil.rmtree(crashes, ignore_errors=True)
    if problem is not None and not messages:
        raise problem
    run.failed |= dict.fromkeys(unexplained, "not processed: the run stopped before it")
    remove_if_empty(settings.work_folder)


def log_folders_by_node(jobs: Sequence[_Job], folders: dict[str, Path]) -> dict[str, Path]:
    """Return the log folder of every session's graph."""
    return {job.node_name: folders[job.session.participant] for job in jobs}


def _run_graph(
    jobs: list[_Job], settings: RunSettings, device: str, crashes: Path
) -> Exception | None:
    """Run all sessions in one nipype graph; return what nipype raised at its end."""
    _configure_nipype(settings, crashes)
    from nipype.pipeline import engine as pe

    from bids_xai.workflows.session import session_workflow

    graph = pe.Workflow(name="participant", base_dir=str(settings.work_folder.resolve()))
    graph.add_nodes(
        [
            session_workflow(
                job.session, settings, stamp=job.stamp, digest=job.digest, device=device
            )
            for job in jobs
        ]
    )
    plugin, arguments = _plugin(settings, _progress(jobs, settings.output_dir.resolve()))
    LOG.info("processing %d session(s) with %d process(es)", len(jobs), settings.nprocs)
    try:
        graph.run(plugin=plugin, plugin_args=arguments)
    except Exception as error:  # nipype gathers all failures into one; they are told apart later
        LOG.debug("nipype ended with %s", error)
        return error
    return None


def _plugin(
    settings: RunSettings, progress: Callable[[Any, str], None]
) -> tuple[str, dict[str, Any]]:
    arguments: dict[str, Any] = {"status_callback": progress}
    if settings.nprocs == 1:
        return "Linear", arguments
    arguments |= {
        "n_procs": settings.nprocs,
        "mp_context": "forkserver",
        "raise_insufficient": False,
        "n_gpu_procs": 1,
    }
    if settings.mem_mb:
        arguments["memory_gb"] = settings.mem_mb / 1024
    return "MultiProc", arguments


def _progress(jobs: list[_Job], root: Path) -> Callable[[Any, str], None]:
    by_name = {job.node_name: job for job in jobs}
    finished: list[str] = []

    def report(node: Any, status: str) -> None:
        if status != "end" or node.name != "publish":
            return
        job = by_name[node.fullname.split(".")[-2]]
        if not is_current(job.stamp, job.digest, root):
            return  # the linear plugin reports the nodes after a failed one as ended, too
        finished.append(job.session.label)
        LOG.info("[%d/%d] %s done", len(finished), len(jobs), job.session.label)

    return report


def _configure_nipype(settings: RunSettings, crashes: Path) -> None:
    """Write nipype's configuration where this process and its workers read it (never HOME)."""
    level = "INFO" if settings.verbose >= 2 else "CRITICAL"
    options = {
        "logging": {
            "workflow_level": level,
            "interface_level": level,
            "utils_level": level,
            "log_to_file": "false",
        },
        "execution": {
            "crashdump_dir": str(crashes),
            "crashfile_format": "txt",
            "poll_sleep_duration": "0.1",
            "stop_on_first_crash": str(settings.stop_on_first_crash).lower(),
            "remove_unnecessary_outputs": "false",
            "hash_method": "timestamp",
            "check_version": "false",
            "write_provenance": "false",
        },
    }
    lines = []
    for section, values in options.items():
        lines += [f"[{section}]", *(f"{key} = {value}" for key, value in values.items())]
    write_text(crashes / "nipype.cfg", "\n".join(lines) + "\n")
    os.environ["NIPYPE_CONFIG_DIR"] = str(crashes)
    from nipype import config
    from nipype import logging as nipype_logging

    config.update_config(options)
    nipype_logging.update_logging(config)


def _clean(job: _Job, settings: RunSettings) -> None:
    """Remove the working files of a finished session, unless the user chose where they go."""
    if settings.work_dir is None or settings.clean_workdir:
        folder = settings.work_folder / "participant"
        shutil.rmtree(folder / job.node_name, ignore_errors=True)
        if not any(folder.glob("sub*")):  # nipype leaves a drawing of the graph behind
            shutil.rmtree(folder, ignore_errors=True)
