"""Runs jobs side by side, each a nipype graph of its own, and tells what became of each."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from bids_xai.bids import run_log
from bids_xai.bids.files import remove_if_empty, write_text
from bids_xai.errors import UserError
from bids_xai.runtime.atomic import remove_abandoned
from bids_xai.runtime.progress import Progress
from bids_xai.settings import RunSettings, to_toml
from bids_xai.workflows.crashes import failures_from_crashes
from bids_xai.workflows.jobs import Outcome, Problem, Results, SessionJob
from bids_xai.workflows.nipype_setup import configure_nipype, workers_of
from bids_xai.workflows.runners import GRAPH, run_by_plugin, run_here, run_in_processes

LOG = logging.getLogger("bids_xai")


def run_jobs(
    jobs: Sequence[SessionJob], settings: RunSettings, what: str, *, one_by_one: bool = False
) -> Outcome:
    """Run all jobs; one that fails does not stop the others (unless the user asked for it).

    Sessions run side by side, ``--nprocs`` of them, each a nipype graph in a process of its own;
    where there are fewer, the steps of a session do.

    what : the work, for the log ("preprocessing")
    one_by_one : never two at a time, for what shares one device
    Raises what nipype raises where it fails outside any job.
    """
    if not jobs:
        return Outcome()
    run_log.begin(settings)
    run_id = run_log.run_id()
    root = settings.output_dir.resolve()
    log_folders = {job.name: root / "logs" / f"sub-{job.participant}" / run_id for job in jobs}
    for folder in set(log_folders.values()):
        write_text(folder / run_log.SETTINGS, to_toml(settings.as_plain()))
    for job in jobs:
        LOG.debug("%s: %s, since %s", what, job.label, job.why(root))
    crashes = settings.work_folder.resolve() / f"crashes_{run_id}"
    configure_nipype(settings, crashes)
    try:
        problems = _run(jobs, settings, what, crashes, one_by_one=one_by_one)
        _keep_crashes(crashes)
        failed = failures_from_crashes(crashes, log_folders)
    finally:
        shutil.rmtree(crashes, ignore_errors=True)
        remove_if_empty(settings.work_folder / GRAPH)
        remove_if_empty(settings.work_folder)
        remove_abandoned(
            path for folder in log_folders.values() for path in folder.parent.glob("*")
        )
    return _outcome(jobs, root, problems, failed)


def _run(
    jobs: Sequence[SessionJob], settings: RunSettings, what: str, crashes: Path, *, one_by_one: bool
) -> dict[str, Problem]:
    """Run the jobs by the user's plugin, here or in processes; return what went wrong by label."""
    workers = 1 if one_by_one else workers_of(jobs, settings)
    share = replace(settings, nprocs=max(1, settings.nprocs // workers))
    if settings.use_plugin is not None:
        LOG.info("%s: %d session(s) by %s", what, len(jobs), settings.use_plugin)
        run = run_by_plugin
    else:
        LOG.info("%s: %d session(s) with %d process(es)", what, len(jobs), settings.nprocs)
        run = run_here if workers == 1 else run_in_processes
    # a plugin tells of all sessions when the last has ended
    at_once = workers if settings.use_plugin is None else len(jobs)
    watch = Progress("sessions", len(jobs), at_once=at_once)
    return _follow(run(jobs, share, workers, crashes), watch, settings)


def _outcome(
    jobs: Sequence[SessionJob],
    root: Path,
    problems: Mapping[str, Problem],
    failed: Mapping[str, str],
) -> Outcome:
    """What became of the jobs; failed : name of a graph → message, from its crash file."""
    outcome = Outcome()
    for job in jobs:
        if job.is_done(root):
            outcome.done.append(job.label)
            continue
        problem = problems.get(job.label)
        is_unexpected = isinstance(problem, Exception) and not isinstance(problem, UserError)
        if is_unexpected and job.name not in failed:
            raise cast("Exception", problem)
        stopped = "not processed: the run stopped before it"
        outcome.failed[job.label] = failed.get(job.name) or str(problem or stopped)
    return outcome


def _follow(results: Results, watch: Progress, settings: RunSettings) -> dict[str, Problem]:
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
