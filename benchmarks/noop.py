"""What a run costs that has nothing to do: processor time and memory of both levels.

    python benchmarks/noop.py OUT [--people 8] [--runs 5] [--command bids_xai]

Makes a simulated cohort with a study of few epochs in OUT, unless one is there (minutes), and runs
both levels by the same commands again, then ``--version`` and ``--help``. Processor time is that of
the process and its children, user and system, the median of the runs; memory is the largest
resident set of all runs. Pages or models that are written again are an error.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import bids_xai

EPOCHS = 2
SPACE = "MNI152NLin2009aSym:res-3"


@dataclass(frozen=True)
class Cost:
    """Of a process: processor time in seconds, and the largest resident set in GB."""

    seconds: float
    gigabytes: float


def cost_of(command: Sequence[str], log: Path) -> Cost:
    """Run a command; raise :class:`SystemExit` naming its log where it fails."""
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}, see {log}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e9)


def levels(out: Path, program: str) -> dict[str, list[str]]:
    """The commands of both levels."""
    folders = [str(out / "raw"), str(out / "derivatives")]
    return {
        "participant": [
            *(program, *folders, "participant", "--nprocs", "1", "--sloppy"),
            *("--output-spaces", SPACE),
        ],
        "group": [program, *folders, "group", "--study", str(out / "study.toml"), "--nprocs", "1"],
    }


def make_cohort(out: Path, people: int, program: str) -> None:
    """Simulate the cohort of voxels of 5 mm, write the study, and do all the work once."""
    simulate = str(Path(program).with_name("bids_xai_simulate"))
    size = ["--n-participants", str(people), "--voxel-mm", "5", "--sessions", "1", "--seed", "1"]
    subprocess.run([simulate, str(out / "raw"), *size], check=True, stdout=subprocess.DEVNULL)
    text = (Path(bids_xai.__file__).parent / "studies" / "quick.toml").read_text()
    for key, value in (("epochs", EPOCHS), ("guidance_after", 0)):
        text = re.sub(rf"^{key} = \d+", f"{key} = {value}", text, flags=re.M)
    (out / "study.toml").write_text(text)
    for name, command in levels(out, program).items():
        cost = cost_of(command, out / f"{name}.log")
        print(f"{name}, first run: {cost.seconds:.0f} s, {cost.gigabytes:.2f} GB")


def newest(out: Path) -> dict[Path, int]:
    """When pages and models were written."""
    files = [*out.glob("derivatives/*.html"), *out.glob("derivatives/models/**/*.safetensors")]
    return {file: file.stat().st_mtime_ns for file in files}


def main() -> None:
    """Measure, print a line a command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder of the cohort, made where it does not exist")
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--command", default=str(Path(sys.executable).with_name("bids_xai")))
    options = parser.parse_args()
    out = options.out.resolve()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if not (out / "study.toml").is_file():
        out.mkdir(parents=True, exist_ok=True)
        make_cohort(out, options.people, options.command)
    commands = levels(out, options.command)
    commands |= {name: [options.command, f"--{name}"] for name in ("version", "help")}
    before = newest(out)
    for name, command in commands.items():
        costs = [cost_of(command, out / f"{name}.log") for _ in range(options.runs)]
        seconds = statistics.median(cost.seconds for cost in costs)
        gigabytes = max(cost.gigabytes for cost in costs)
        print(f"{name}, nothing to do: {seconds:.2f} s, {gigabytes:.2f} GB")
    if newest(out) != before:
        raise SystemExit("pages or models were written again")


if __name__ == "__main__":
    main()
