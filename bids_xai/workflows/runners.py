"""How the graphs of sessions run: here, side by side in processes, or by a user's plugin."""

from __future__ import annotations

import logging
import multiprocessing
import pickle
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bids_xai.bids import run_log
from bids_xai.errors import OtherRunError
from bids_xai.runtime.run_lock import alone_in
from bids_xai.settings import RunSettings
from bids_xai.workflows.jobs import Problem, Results, SessionJob
from bids_xai.workflows.nipype_setup import configure_nipype, multiproc_arguments, plugin_of
from bids_xai.workflows.plugin import read_plugin
from bids_xai.workflows.processes import end_with_parent

LOG = logging.getLogger("bids_xai")
GRAPH = "participant"
"""Name of the graph of graphs, and of the folder of its working files."""
_LOOK_S = 1.0
_KILLED = (
    "its process was killed, most likely for lack of memory. "
    "Fix: use a lower --nprocs, or more memory."
)


def run_here(
    jobs: Sequence[SessionJob], settings: RunSettings, workers: int, crashes: Path
) -> Results:
    """Run the sessions one after the other, in this process or by nipype's own processes."""
    postponed: list[SessionJob] = []
    for job in jobs:
        problem = _run_graph(job, settings)
        if isinstance(problem, OtherRunError):
            postponed.append(job)
        else:
            yield job, problem
    yield from _when_free(postponed, settings)


def run_by_plugin(
    jobs: Sequence[SessionJob], settings: RunSettings, workers: int, crashes: Path
) -> Results:
    """Hand all sessions to the user's plugin as one graph; nipype returns when all have ended."""
    from nipype.pipeline import engine as pe

    assert settings.use_plugin is not None
    plugin = read_plugin(settings.use_plugin)
    graph = pe.Workflow(name=GRAPH, base_dir=str(settings.work_folder.resolve()))
    locks = ExitStack()
    refused: dict[str, Problem] = {}
    for job in jobs:
        try:
            locks.enter_context(alone_in(job.lock))
        except OtherRunError as error:
            refused[job.label] = error
    left = [job for job in jobs if job.label not in refused]
    graph.add_nodes([job.build(job.name) for job in left])
    labels = {job.name: job.label for job in jobs}

    def say_published(node: Any, status: str) -> None:
        session = node.fullname.split(".")[1]
        if status == "end" and node.name == "publish":
            LOG.info("%s has been published", labels.get(session, session))

    arguments = {"status_callback": say_published, **plugin.arguments}
    if plugin.name == "MultiProc":
        arguments = {**multiproc_arguments(settings), **arguments}
    problem: str | None = None
    try:
        if left:
            graph.run(plugin=plugin.name, plugin_args=arguments)
    except Exception as error:  # of a node, which has its crash file, or of the batch system
        problem = (
            f"the plugin {plugin.name} ended with: {type(error).__name__}: {error} "
            f"[{settings.use_plugin}]. Fix: look at plugin_args, and at the jobs that are still "
            "running."
        )
    finally:
        locks.close()
    for job in jobs:
        if job.label not in refused and job.is_done(settings.output_dir.resolve()):
            _clean(job, settings)
        yield job, refused.get(job.label, problem)


def run_in_processes(
    jobs: Sequence[SessionJob], settings: RunSettings, workers: int, crashes: Path
) -> Results:
    """Yield jobs with their problems as they end; stop all where nobody asks for more.

    A process that the system kills takes all its pool with it (Python cannot tell whose it was):
    what was not finished is begun again with half the processes.
    """
    left = list(jobs)
    postponed: list[SessionJob] = []
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
                if isinstance(problem, OtherRunError):
                    postponed.append(futures[future])
                else:
                    yield futures[future], problem
        except BrokenProcessPool:
            if workers == 1:
                yield left.pop(0), _KILLED
            else:
                workers = max(1, workers // 2)
                LOG.warning("a process was killed; continuing with %d: %s", workers, _KILLED)
        finally:
            _end_pool(pool, at_once=not all(future.done() for future in futures))
    yield from _when_free(postponed, settings)


def _begin_worker(settings: RunSettings, crashes: Path, log: str) -> None:
    end_with_parent()
    run_log.join(log)
    configure_nipype(settings, crashes)


def _end_pool(pool: ProcessPoolExecutor, *, at_once: bool) -> None:
    """End the pool, ``at_once`` with jobs under way: what they wrote is not yet published."""
    if at_once:
        for process in multiprocessing.active_children():
            process.kill()
    pool.shutdown(wait=True, cancel_futures=True)


def _run_graph(job: SessionJob, settings: RunSettings) -> Exception | None:
    """Run the graph of a job; return what nipype raised at its end."""
    from nipype.pipeline import engine as pe

    graph = pe.Workflow(name=GRAPH, base_dir=str(settings.work_folder.resolve()))
    graph.add_nodes([job.build(job.name)])
    try:
        with alone_in(job.lock):
            graph.run(plugin=plugin_of(settings))
            _clean(job, settings)
    except OtherRunError as error:
        return error
    except Exception as error:  # of a node: nipype has written its crash file
        LOG.log(run_log.TRACE, "nipype ended with %s", error)  # its text is a traceback
        return _portable(error)
    return None


def _when_free(jobs: Sequence[SessionJob], settings: RunSettings) -> Results:
    """Sessions that another run was working on: what it leaves undone when it ends."""
    root = settings.output_dir.resolve()
    for job in jobs:
        problem: Problem = None
        is_logged = False
        while not job.is_done(root):
            problem = _run_graph(job, settings)
            if not isinstance(problem, OtherRunError):
                break
            if not is_logged:
                LOG.warning("%s: %s", job.label, problem)
                is_logged = True
            time.sleep(_LOOK_S)
        yield job, None if isinstance(problem, OtherRunError) else problem


def _clean(job: SessionJob, settings: RunSettings) -> None:
    """Remove the working files of a finished job, unless they are to be kept."""
    if settings.work_dir is None or settings.clean_workdir:
        shutil.rmtree(settings.work_folder.resolve() / GRAPH / job.name, ignore_errors=True)


def _portable(error: Exception) -> Exception:
    """The error as it can go from one process to another."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
