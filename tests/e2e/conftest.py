"""Whole runs, made once a session and looked at by many tests.

Trainings get one thread, so that their numbers do not depend on the machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

EMBEDDED = "MNI152NLin2009aSym"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


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
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


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


@pytest.fixture(scope="session")
def cohort8(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Eight participants at the default 2 mm, through the participant level."""
    folder = tmp_path_factory.mktemp("cohort8")
    raw, out = folder / "raw", folder / "out"
    made = simulate(raw, "--n-participants", 8, "--seed", 1)
    assert made.status == 0, made.err
    finished = command(
        raw, out, "participant", "--output-spaces", f"{EMBEDDED}:res-2", "--nprocs", 2
    )
    return Run(raw, out, finished)


def short_group(run: Run) -> tuple[object, ...]:
    """The command line of the short group level."""
    return (run.raw, run.out, "group", "--study", "quick", "--sloppy", "--omp-nthreads", 1)


@pytest.fixture(scope="session")
def group8(cohort8: Run) -> Run:
    """The group level of ``cohort8`` with the preset ``quick``, three epochs a training.

    What full trainings find is looked at in test_learning.py.
    """
    assert cohort8.finished.status == 0, cohort8.finished.err
    finished = command(*short_group(cohort8), "--nprocs", 2)
    return Run(cohort8.raw, cohort8.out, finished)
