"""Whole runs, made once a session and looked at by many tests.

The files run side by side (``pytest -n 2 --dist loadfile``); what several of them look at is made
by the first and stays unchanged. Trainings get one thread, so that their numbers do not depend on
the machine.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
from filelock import FileLock

# the longest first, so that no worker is left alone with it at the end
FILES = (
    "learning",
    "participant",
    "faults",
    "group",
    "inputs",
    "messy",
    "real_data",
    "docs_examples",
    "presets",
    "cheat",
    "strategies",
)
EMBEDDED = "MNI152NLin2009aSym"
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


def command(*arguments: object, env: dict[str, str] | None = None) -> Finished:
    """Run ``bids_xai`` as a user would, in a process of its own."""
    return _run("bids_xai", *arguments, env=env)


def begin(*arguments: object) -> subprocess.Popen[str]:
    """Start ``bids_xai`` without waiting for it."""
    code = "import sys; from bids_xai.cli.main import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def simulate(*arguments: object) -> Finished:
    """Run ``bids_xai_simulate``."""
    return _run("bids_xai.cli.simulate", *arguments)


def _run(module: str, *arguments: object, env: dict[str, str] | None = None) -> Finished:
    code = f"import sys; from {module if module != 'bids_xai' else 'bids_xai.cli.main'} import main"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; sys.exit(main())", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=1100,
        env={**os.environ, **(env or {})},
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
    """Sort the tests by file, in the order of ``FILES``."""
    rank = {f"test_{name}": i for i, name in enumerate(FILES)}
    items.sort(key=lambda item: rank[item.path.stem])


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
