"""Runs jobs side by side, each a nipype graph of its own, and tells what became of each."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bids_xai.bids import run_log
from bids_xai.bids.files import remove_if_empty, write_text
from bids_xai.bids.stamps import is_current, what_changed
from bids_xai.runtime.progress import Progress
from bids_xai.settings import RunSettings, to_toml
from bids_xai.workflows.crashes import failures_from_crashes
from bids_xai.workflows.plugin import read_plugin
from bids_xai.workflows.processes import end_with_parent

LOG = logging.getLogger("bids_xai")
_GRAPH = "participant"
_KILLED = (
    "its process was killed, most likely for lack of memory. "
    "Fix: give fewer --nprocs, or more memory."
)


@dataclass(frozen=True)
class Job:
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
        return re.sub(r"[^\w-]", lambda found: f"_x{ord(found[0]):x}_", self.label)

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


def run_jobs(
    jobs: Sequence[Job], settings: RunSettings, what: str, *, one_by_one: bool = False
) -> Outcome:
    """Run all jobs; one that fails does not stop the others (unless the user asked for it).

    Sessions run side by side, ``--nprocs`` of them, each a nipype graph in a process of its own;
    where there are fewer, the steps of a session do.

    what : the work, for the log ("preprocessing")
    one_by_one : never two at a time, for what shares one device
    Raises what nipype raises where it fails outside any job.
    """
    outcome = Outcome()
    if not jobs:
        return outcome
    run_log.begin(settings)
    run_id = run_log.run_id()
    root = settings.output_dir.resolve()
    log_folders = {job.name: root / "logs" / f"sub-{job.participant}" / run_id for job in jobs}
    for folder in set(log_folders.values()):
        write_text(folder / run_log.SETTINGS, to_toml(settings.as_plain()))
    for job in jobs:
        LOG.debug("%s: %s, since %s", what, job.label, job.why(root))
    crashes = settings.work_folder.resolve() / f"crashes_{run_id}"
    _configure_nipype(settings, crashes)
    workers = 1 if one_by_one else _workers(jobs, settings)
    own = replace(settings, nprocs=max(1, settings.nprocs // workers))
    try:
        if settings.use_plugin is not None:
            LOG.info("%s: %d session(s) by %s", what, len(jobs), settings.use_plugin)
            run = _run_by_plugin
        else:
            LOG.info("%s: %d session(s) with %d process(es)", what, len(jobs), settings.nprocs)
            run = _run_here if workers == 1 else _run_in_processes
        # a plugin tells of all sessions when the last has ended
        at_once = workers if settings.use_plugin is None else len(jobs)
        watch = Progress("sessions", len(jobs), at_once=at_once)
        problems = _told(run(jobs, own, workers, crashes), watch, settings)
        _keep_crashes(crashes)
        failed = failures_from_crashes(crashes, log_folders)
    finally:
        shutil.rmtree(crashes, ignore_errors=True)
        remove_if_empty(settings.work_folder / _GRAPH)
        remove_if_empty(settings.work_folder)
    for job in jobs:
        if job.is_done(root):
            outcome.done.append(job.label)
            continue
        problem = problems.get(job.label)
        if isinstance(problem, Exception) and job.name not in failed:
            raise problem
        stopped = "not processed: the run stopped before it"
        outcome.failed[job.label] = failed.get(job.name) or str(problem or stopped)
    return outcome


Problem = Exception | str | None
Results = Iterator[tuple[Job, Problem]]


def _workers(jobs: Sequence[Job], settings: RunSettings) -> int:
    """How many sessions run at a time, by processes and memory."""
    fitting = len(jobs)
    if settings.mem_mb:
        fitting = int(settings.mem_mb / 1024 / max(job.memory_gb for job in jobs))
    return max(1, min(settings.nprocs, len(jobs), fitting))


def _told(results: Results, watch: Progress, settings: RunSettings) -> dict[str, Problem]:
    """Go through the results, say how many have ended, and return what went wrong by label."""
    root = settings.output_dir.resolve()
    problems: dict[str, Problem] = {}
    for number, (job, problem) in enumerate(results, start=1):
        watch.reach(number)
        done = job.is_done(root)
        left = f", {watch.time_left}" if watch.time_left else ""
        LOG.info(
            "[%d/%d] %s %s%s", number, watch.total, job.label, "done" if done else "failed", left
        )
        if not done:
            problems[job.label] = problem
            if settings.stop_on_first_crash:
                break
    return problems


def _keep_crashes(folder: Path) -> None:
    """Put the tracebacks of failed steps into the run's log; stderr has one line a session."""
    for crash in sorted(folder.glob("crash-*.txt")):
        LOG.log(run_log.TRACE, "%s\n%s", crash.name, crash.read_text(errors="replace"))


def _run_here(jobs: Sequence[Job], settings: RunSettings, workers: int, crashes: Path) -> Results:
    for job in jobs:
        yield job, _run_graph(job, settings)


def _run_by_plugin(
    jobs: Sequence[Job], settings: RunSettings, workers: int, crashes: Path
) -> Results:
    """Hand all sessions to the user's plugin as one graph; nipype returns when all have ended."""
    from nipype.pipeline import engine as pe

    assert settings.use_plugin is not None
    plugin = read_plugin(settings.use_plugin)
    graph = pe.Workflow(name=_GRAPH, base_dir=str(settings.work_folder.resolve()))
    graph.add_nodes([job.build(job.name) for job in jobs])
    labels = {job.name: job.label for job in jobs}

    def told(node: Any, status: str) -> None:
        session = node.fullname.split(".")[1]
        if status == "end" and node.name == "publish":
            LOG.info("%s has been published", labels.get(session, session))

    arguments = {"status_callback": told, **plugin.arguments}
    if plugin.name == "MultiProc":
        arguments = {**_multiproc_arguments(settings), **arguments}
    problem: str | None = None
    try:
        graph.run(plugin=plugin.name, plugin_args=arguments)
    except Exception as error:  # of a node, which has its crash file, or of the batch system
        problem = (
            f"the plugin {plugin.name} ended with: {type(error).__name__}: {error} "
            f"[{settings.use_plugin}]. Fix: look at plugin_args, and at the jobs that still run."
        )
    for job in jobs:
        if job.is_done(settings.output_dir.resolve()):
            _clean(job, settings)
        yield job, problem


def _run_in_processes(
    jobs: Sequence[Job], settings: RunSettings, workers: int, crashes: Path
) -> Results:
    """Yield jobs with their problems as they end; stop all where nobody asks for more.

    A process that the system kills takes all its pool with it (Python cannot tell whose it was):
    what was not finished is begun again with half the processes.
    """
    left = list(jobs)
    while left:
        pool = ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context("forkserver"),
            initializer=_begin_worker,
            initargs=(settings, crashes, run_log.address_for_workers()),
        )
        futures = {pool.submit(_run_graph, job, settings): job for job in left}
        try:
            for future in as_completed(futures):
                problem = future.result()
                left.remove(futures[future])
                yield futures[future], problem
        except BrokenProcessPool:
            if workers == 1:
                yield left.pop(0), _KILLED
            else:
                workers = max(1, workers // 2)
                LOG.warning("a process was killed; going on with %d: %s", workers, _KILLED)
        finally:
            _end_pool(pool, at_once=not all(future.done() for future in futures))


def _begin_worker(settings: RunSettings, crashes: Path, log: str) -> None:
    end_with_parent()
    run_log.join(log)
    _configure_nipype(settings, crashes)


def _end_pool(pool: ProcessPoolExecutor, *, at_once: bool) -> None:
    """End the pool, ``at_once`` with jobs under way: what they wrote is not yet published."""
    if at_once:
        for process in multiprocessing.active_children():
            process.kill()
    pool.shutdown(wait=True, cancel_futures=True)


def _run_graph(job: Job, settings: RunSettings) -> Exception | None:
    """Run the graph of a job; return what nipype raised at its end."""
    from nipype.pipeline import engine as pe

    graph = pe.Workflow(name=_GRAPH, base_dir=str(settings.work_folder.resolve()))
    graph.add_nodes([job.build(job.name)])
    try:
        graph.run(plugin=_plugin(settings))
    except Exception as error:  # of a node: nipype has written its crash file
        LOG.debug("nipype ended with %s", error)
        return _portable(error)
    _clean(job, settings)
    return None


def _clean(job: Job, settings: RunSettings) -> None:
    """Remove the working files of a finished job, unless they are to be kept."""
    if settings.work_dir is None or settings.clean_workdir:
        shutil.rmtree(settings.work_folder.resolve() / _GRAPH / job.name, ignore_errors=True)


def _portable(error: Exception) -> Exception:
    """The error as it can go from one process to another."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _plugin(settings: RunSettings) -> Any:
    from nipype.pipeline.plugins import LinearPlugin, MultiProcPlugin

    return (
        LinearPlugin() if settings.nprocs == 1 else MultiProcPlugin(_multiproc_arguments(settings))
    )


def _multiproc_arguments(settings: RunSettings) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "n_procs": settings.nprocs,
        "mp_context": "forkserver",
        "raise_insufficient": False,
        "n_gpu_procs": 1,
    }
    if settings.mem_mb:
        arguments["memory_gb"] = settings.mem_mb / 1024
    return arguments


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
            "job_finished_timeout": "60",  # s that a network disk may take to show a result
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
