"""Runs jobs, each a nipype graph of its own, and tells what became of each."""

from __future__ import annotations

import logging
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bids_xai.bids.files import remove_if_empty, write_text
from bids_xai.bids.stamps import is_current
from bids_xai.settings import RunSettings, to_toml
from bids_xai.workflows.crashes import failures_from_crashes

LOG = logging.getLogger("bids_xai")
_GRAPH = "participant"
_JOBS_A_GRAPH = 32  # nipype's bookkeeping grows with the square of the nodes


@dataclass(frozen=True)
class Job:
    """What is to be made of one session.

    label : ``sub-01_ses-1``
    participant : label without ``sub-``
    stamp, digest : file that says it is done, and what it then holds
    build : gives the graph, whose last node is called ``publish``; gets the graph's name
    """

    label: str
    participant: str
    stamp: Path
    digest: str
    build: Callable[[str], Any]

    @property
    def name(self) -> str:
        """The label as a name that nipype takes; different labels never share one."""
        return re.sub(r"[^\w-]", lambda found: f"_x{ord(found[0]):x}_", self.label)

    def is_done(self, root: Path) -> bool:
        """Tell whether the outputs are there and up to date."""
        return is_current(self.stamp, self.digest, root)


@dataclass
class Outcome:
    """Labels of finished jobs, and label → message of failed ones."""

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def run_jobs(jobs: Sequence[Job], settings: RunSettings, what: str) -> Outcome:
    """Run all jobs; one that fails does not stop the others (unless the user asked for it).

    what : the work, for the log ("preprocessing")
    Raises what nipype raises where it fails outside any job.
    """
    outcome = Outcome()
    if not jobs:
        return outcome
    run_id = datetime.now(UTC).strftime("%Y%m%d-%H%M%S_") + uuid.uuid4().hex[:8]
    root = settings.output_dir.resolve()
    log_folders = {job.name: root / "logs" / f"sub-{job.participant}" / run_id for job in jobs}
    for folder in set(log_folders.values()):
        write_text(folder / "settings.toml", to_toml(settings.as_plain()))
    crashes = settings.work_folder.resolve() / f"crashes_{run_id}"
    _configure_nipype(settings, crashes)
    LOG.info("%s: %d session(s) with %d process(es)", what, len(jobs), settings.nprocs)
    report = _Progress(jobs, settings)
    try:
        for part in _parts(jobs, settings):
            problem = _run_graph(part, settings, report)
            failed = failures_from_crashes(crashes, log_folders)
            if problem is not None and not any(job.name in failed for job in part):
                raise problem
            if problem is not None and settings.stop_on_first_crash:
                break
    finally:
        shutil.rmtree(crashes, ignore_errors=True)
        remove_if_empty(settings.work_folder / _GRAPH)
        remove_if_empty(settings.work_folder)
    for job in jobs:
        if job.is_done(root):
            outcome.done.append(job.label)
        else:
            stopped = "not processed: the run stopped before it"
            outcome.failed[job.label] = failed.get(job.name, stopped)
    return outcome


def _parts(jobs: Sequence[Job], settings: RunSettings) -> Iterator[Sequence[Job]]:
    """The jobs of one graph each; one by one where a single process would go breadth first."""
    size = 1 if settings.nprocs == 1 else _JOBS_A_GRAPH
    for first in range(0, len(jobs), size):
        yield jobs[first : first + size]


def _run_graph(
    jobs: Sequence[Job], settings: RunSettings, report: Callable[[Any, str], None]
) -> Exception | None:
    """Run one graph of several jobs; return what nipype raised at its end."""
    from nipype.pipeline import engine as pe

    graph = pe.Workflow(name=_GRAPH, base_dir=str(settings.work_folder.resolve()))
    graph.add_nodes([job.build(job.name) for job in jobs])
    try:
        graph.run(plugin=_plugin(settings, report))
    except Exception as error:  # nipype gathers all failures into one; they are told apart later
        LOG.debug("nipype ended with %s", error)
        return error
    return None


def _plugin(settings: RunSettings, report: Callable[[Any, str], None]) -> Any:
    from nipype.pipeline.plugins import LinearPlugin

    arguments: dict[str, Any] = {"status_callback": report}
    if settings.nprocs == 1:
        return LinearPlugin(arguments)
    arguments |= {
        "n_procs": settings.nprocs,
        "mp_context": "forkserver",
        "raise_insufficient": False,
        "n_gpu_procs": 1,
    }
    if settings.mem_mb:
        arguments["memory_gb"] = settings.mem_mb / 1024
    return _depth_first_plugin()(arguments)


def _depth_first_plugin() -> Any:
    """nipype's MultiProc that finishes a session before it begins the next.

    Its own order takes the first step of every session, then the second: nothing would be done
    until nearly all is, and the work folder would hold every session at once.
    """
    from nipype.pipeline.engine.utils import topological_sort
    from nipype.pipeline.plugins import MultiProcPlugin

    class DepthFirstMultiProc(MultiProcPlugin):  # type: ignore[misc]
        procs: Any
        depidx: Any

        def _generate_dependency_list(self, graph: Any) -> None:
            super()._generate_dependency_list(graph)
            order = [self.procs.index(node) for node in topological_sort(graph, True)[0]]
            self.procs = [self.procs[index] for index in order]
            self.depidx = self.depidx[order][:, order]
            self.refidx = self.depidx.astype(int)

    return DepthFirstMultiProc


class _Progress:
    """Says after every job how many are done, and removes its working files."""

    def __init__(self, jobs: Sequence[Job], settings: RunSettings) -> None:
        self.by_name = {job.name: job for job in jobs}
        self.settings = settings
        self.root = settings.output_dir.resolve()
        self.finished = 0

    def __call__(self, node: Any, status: str) -> None:
        if status != "end" or node.name != "publish":
            return
        job = self.by_name[node.fullname.split(".")[-2]]
        if not job.is_done(self.root):
            return  # the linear plugin reports the nodes after a failed one as ended, too
        self.finished += 1
        LOG.info("[%d/%d] %s done", self.finished, len(self.by_name), job.label)
        if self.settings.work_dir is None or self.settings.clean_workdir:
            folder = self.settings.work_folder.resolve() / _GRAPH / job.name
            shutil.rmtree(folder, ignore_errors=True)


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
            "poll_sleep_duration": "0.2",
            "stop_on_first_crash": str(settings.stop_on_first_crash).lower(),
            "remove_unnecessary_outputs": "false",
            "hash_method": "timestamp",
            "check_version": "false",
            "write_provenance": "false",
            "create_report": "false",
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
