"""Which methods find the true region, and which are fooled? Simulated cohorts of a known answer.

    python benchmarks/leaderboard.py WORK [--size small|large] [--cohort NAME ...] [--workers 2]
    python benchmarks/leaderboard.py WORK --write-docs        # docs/benchmark.md from the tables

For every cohort (nuclei, hippocampi, lesions; graded effects; with and without a marker that most
patients carry) networks are trained by the group level of the app: A plain, B skull-stripped, C
relevance-guided, and A0, B0, which keep their initial weights. Every method that fits explains the
same test scans by each. WORK/SIZE gets leaderboard.tsv (one row a cohort, configuration and
method), leaderboard_summary.tsv and leaderboard_guidance.tsv. What is there and up to date is not
made again. The small size is planned for two cores; see docs/benchmark.md.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from leaderboard_cohorts import make_cohort
from leaderboard_page import inserted, results
from leaderboard_plan import CONFIGURATIONS, SEED, SIZES, TRAINED, Cohort, Plan
from leaderboard_scores import Network, read_rows, score_network
from leaderboard_table import GUIDANCE_COLUMNS, LEADERBOARD_COLUMNS, SUMMARY_COLUMNS, tables

from bids_xai.bids.files import write_text, write_tsv
from bids_xai.cli.main import main as bids_xai
from bids_xai.errors import NoInputError, UsageError, UserError

PAGE = Path(__file__).parents[1] / "docs" / "benchmark.md"
TABLES = {
    "leaderboard": LEADERBOARD_COLUMNS,
    "leaderboard_summary": SUMMARY_COLUMNS,
    "leaderboard_guidance": GUIDANCE_COLUMNS,
}
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
COHORT_S, EPOCH_S, GUIDED, HEATMAPS_S, PREDICTION_S = 0.5, 0.02, 2.5, 5.0, 0.02
"""Seconds a participant to simulate, a scan and epoch to train (times GUIDED with guidance), a scan
to explain by all methods, and to classify: only their ratios matter, for the time left."""


@dataclass(frozen=True)
class Task:
    """Something to do in a process of its own: ``cohort``, ``train`` or ``score``."""

    what: str
    network: Network
    plan: Plan
    planned_s: float

    @property
    def title(self) -> str:
        """``train megre-30 C 1``."""
        name = f"{self.what} {self.network.cohort.name}"
        network = self.network
        return (
            name
            if self.what == "cohort"
            else f"{name} {network.configuration} {network.repetition}"
        )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--size", choices=tuple(SIZES), default="small")
    parser.add_argument("--cohort", nargs="+", default=(), metavar="NAME", help="only these")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--write-docs", action="store_true", help="write docs/benchmark.md")
    asked = parser.parse_args(argv)
    work = asked.work.resolve() / asked.size
    try:
        if asked.write_docs:
            write_docs(work, asked.size)
        else:
            run(work, SIZES[asked.size], asked.cohort, asked.workers)
    except UserError as error:
        print(f"leaderboard: error: {error}", file=sys.stderr)
        return error.status
    return 0


def run(work: Path, plan: Plan, names: Sequence[str] = (), workers: int = 2) -> None:
    """Everything that is not up to date; then the tables."""
    os.environ.update(dict.fromkeys(THREADS, "1"))  # of the processes to come
    stages = tasks(work, plan, cohorts_by_name(plan, names))
    watch = Watch(sum(task.planned_s for stage in stages for task in stage))
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for stage in stages:
            order = sorted(stage, key=lambda task: -task.planned_s)  # the long ones first
            for task in pool.imap_unordered(do, order):
                watch.step(task)
    write_tables(work, [task.network for task in stages[-1]])


def cohorts_by_name(plan: Plan, names: Sequence[str]) -> list[Cohort]:
    """The cohorts by name, each with its twin without markers; all where none is named."""
    by_name = {cohort.name: cohort for cohort in plan.cohorts}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise UsageError(f"no cohort '{unknown[0]}'", fix=f"choose from {', '.join(by_name)}")
    cohorts = [by_name[name] for name in names] or plan.cohorts
    return list(dict.fromkeys([*(cohort.clean for cohort in cohorts), *cohorts]))


def tasks(work: Path, plan: Plan, cohorts: Sequence[Cohort]) -> list[list[Task]]:
    """Three stages: cohorts, trainings, scores."""
    networks = [
        Network(work, cohort, configuration, repetition)
        for cohort in cohorts
        for configuration in CONFIGURATIONS
        for repetition in range(plan.repetitions)
    ]
    epochs = EPOCH_S * plan.n_training * plan.epochs
    score = HEATMAPS_S * plan.explained + PREDICTION_S * 4 * plan.test

    def training(network: Network) -> float:
        if network.configuration not in TRAINED:
            return 1.0
        return epochs * (GUIDED if network.configuration == "C" else 1.0)

    simulations = [
        Task("cohort", Network(work, cohort, "A", 0), plan, COHORT_S * plan.n_participants)
        for cohort in cohorts
    ]
    return [
        simulations,
        [Task("train", network, plan, training(network)) for network in networks],
        [Task("score", network, plan, score) for network in networks],
    ]


def do(task: Task) -> Task:
    """One task; what it says goes to a log of its own."""
    log = task.network.folder / "logs" / f"{task.title.replace(' ', '_')}.log"
    with logged(log):
        if task.what == "cohort":
            make_cohort(task.network.folder, task.network.cohort, task.plan)
            group(task.network, "cohort")
        elif task.what == "train":
            group(task.network, "train")
        else:
            score_network(task.network, task.plan)
    return task


def group(network: Network, step: str) -> None:
    """A step of the group level, as users run it."""
    arguments = [
        network.folder / "raw",
        network.folder / "maps",
        "group",
        "--study",
        network.folder / "study.toml",
        "--steps",
        step,
        "--device",
        "cpu",
        "--nprocs",
        "1",
        "--omp-nthreads",
        "1",
        "--random-seed",
        SEED,
    ]
    if step == "train":
        arguments += ["--configuration", network.configuration, "--split", network.repetition]
    print("bids_xai", *arguments, file=sys.stderr)
    status = bids_xai([str(argument) for argument in arguments])
    if status:
        raise UsageError(
            f"the group level ended with status {status}",
            file=network.folder / "logs",
            fix="read the log of this task there",
        )


@contextmanager
def logged(file: Path) -> Iterator[None]:
    """Within it, everything said goes to a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    shown = sys.stdout, sys.stderr
    with file.open("w", encoding="utf-8") as stream:
        sys.stdout = sys.stderr = stream
        try:
            yield
        finally:
            sys.stdout, sys.stderr = shown
            logging.getLogger("bids_xai").handlers.clear()


class Watch:
    """Says what is done, and how long the rest takes at the pace so far."""

    def __init__(self, planned_s: float) -> None:
        self.planned_s, self.done_s = planned_s, 0.0
        self.started = time.monotonic()

    def step(self, task: Task) -> None:
        """A task is done."""
        self.done_s += task.planned_s
        elapsed = time.monotonic() - self.started
        left = elapsed * (self.planned_s / self.done_s - 1)
        print(
            f"{elapsed / 60:5.1f} min  {100 * self.done_s / self.planned_s:3.0f} %  "
            f"about {left / 60:.0f} min left  {task.title}",
            flush=True,
        )


def write_tables(work: Path, networks: Sequence[Network]) -> None:
    """The three tables from the rows of all networks."""
    rows = {
        name: [row for network in networks for row in read_rows(network.table(name))]
        for name in ("heatmaps", "predictions")
    }
    results = tables(rows["heatmaps"], rows["predictions"])
    for name, content in zip(
        TABLES, (results.leaderboard, results.summary, results.guidance), strict=True
    ):
        print(write_tsv(work / f"{name}.tsv", content, TABLES[name]))


def write_docs(work: Path, size: str) -> None:
    """Put the results into docs/benchmark.md."""
    read = []
    for name in TABLES:
        file = work / f"{name}.tsv"
        if not file.is_file():
            raise NoInputError("no results", file=file, fix="run the benchmark first")
        read.append(read_rows(file))
    page = inserted(PAGE.read_text(encoding="utf-8"), results(size, *read))
    print(write_text(PAGE, page))


if __name__ == "__main__":
    raise SystemExit(main())
