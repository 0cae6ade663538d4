"""Whole runs, made once a session and looked at by many tests.

The files run side by side (``pytest -n 2 --dist loadfile``); what several of them look at is made
by the first and stays unchanged. Trainings get one thread, so that their numbers do not depend on
the machine. Commands are processes that have the libraries already (``ready_processes``); where
bytes of two runs are compared, one of them comes from a new interpreter (:func:`fresh`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import pytest
from filelock import FileLock
from ready_processes import Command, Server

# the longest first, so that no worker is left alone with it at the end; what needs a run that
# another file makes, some files later, so that nobody waits for it
FILES = (
    "learning",
    "participant",
    "group",
    "real_data",
    "faults",
    "inputs",
    "messy",
    "docs_examples",
    "commands",
    "presets",
    "cheat",
    "strategies",
    "campaign",
)
EMBEDDED = "MNI152NLin2009aSym"
LONGEST_S = 1100  # a command
HERE = Path(__file__).resolve().parent
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def on_demand(variable: str, reason: str) -> list[pytest.MarkDecorator]:
    """Marks of long tests that run where an environment variable is set."""
    return [
        pytest.mark.slow,
        pytest.mark.timeout(3000),
        pytest.mark.skipif(variable not in os.environ, reason=reason),
    ]


@dataclass(frozen=True)
class Finished:
    """A finished command."""

    status: int
    out: str
    err: str


@cache
def server() -> Server:
    """What starts the commands of this worker."""
    return Server()


def pytest_unconfigure() -> None:
    """End the server, and with it commands that a failed test has left behind."""
    if server.cache_info().currsize:
        server().close()


def command(*arguments: object, env: dict[str, str] | None = None) -> Finished:
    """Run ``bids_xai`` as a user would, in a process of its own."""
    return _finished(begin(*arguments, env=env))


def begin(*arguments: object, env: dict[str, str] | None = None) -> Command:
    """Start ``bids_xai`` without waiting for it."""
    return server().start("bids_xai.cli.main", [*map(str, arguments)], env)


def simulate(*arguments: object) -> Finished:
    """Run ``bids_xai_simulate``."""
    return _finished(server().start("bids_xai.cli.simulate", [*map(str, arguments)]))


def _finished(started: Command) -> Finished:
    try:
        started.wait(timeout=LONGEST_S)
    finally:
        started.kill_all()
    return Finished(started.wait(), started.out, started.err)


def fresh(*arguments: object) -> Finished:
    """Run ``bids_xai`` in a new interpreter: other seed of hashes, libraries imported anew."""
    code = "import sys; from bids_xai.cli.main import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Run:
    """A raw dataset and the output folder made from it."""

    raw: Path
    out: Path
    finished: Finished

    @property
    def truth(self) -> Path:
        return self.raw / "derivatives" / "truth"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests by file, in the order of ``FILES``; what is not here comes after them."""
    rank = {HERE / f"test_{name}.py": i for i, name in enumerate(FILES)}
    assert {item.path for item in items if item.path.parent == HERE} <= set(rank)
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


def shared_folder(factory: pytest.TempPathFactory, name: str) -> Path:
    """A folder that all workers of a session have in common."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def cohort8(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Eight participants at the default 2 mm, through the participant level. Not to be changed."""
    folder = shared_folder(tmp_path_factory, "cohort8")
    raw, out = folder / "raw", folder / "out"

    def make() -> Finished:
        made = simulate(raw, "--n-participants", 8, "--seed", 1)
        assert made.status == 0, made.err
        return command(
            raw, out, "participant", "--output-spaces", f"{EMBEDDED}:res-2", "--nprocs", 2
        )

    return Run(raw, out, once(folder, make))


def once(folder: Path, make: Callable[[], Finished]) -> Finished:
    """What a command said that is run by the first process that asks for it."""
    told = folder / "finished.json"
    with FileLock(folder / "lock"):
        if not told.exists():
            told.write_text(json.dumps(asdict(make())))
    return Finished(**json.loads(told.read_text()))


def short_group(run: Run) -> tuple[object, ...]:
    """The command line of the short group level, with the truth where the cohort has it."""
    truth = ("-d", f"truth={run.truth}") if run.truth.is_dir() else ()
    return (run.raw, run.out, "group", "--study", "quick", "--sloppy", "--omp-nthreads", 1, *truth)


@pytest.fixture(scope="session")
def group8(cohort8: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The group level of a copy of ``cohort8``: preset ``quick``, three epochs a training.

    What full trainings find is looked at in test_learning.py.
    """
    assert cohort8.finished.status == 0, cohort8.finished.err
    folder = shared_folder(tmp_path_factory, "group8")
    run = Run(cohort8.raw, folder / "out", cohort8.finished)

    def make() -> Finished:
        shutil.copytree(cohort8.out, run.out)
        return command(*short_group(run), "--nprocs", 2)

    return Run(run.raw, run.out, once(folder, make))
