"""What a participant and a group level take: time by processors, memory of all processes.

    python benchmarks/scaling.py [--participants 2] [--voxel-mm 1] [--study quick] [--work FOLDER]

Simulates a cohort, runs the participant level with one and with two processes, then, where there
are at least 12 participants, the steps of the group level, each a command of its own. Prints
seconds, participants an hour, and the peak of the resident memory of all processes together,
looked at every half second. The figures of docs/hpc.md were made by it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bids_xai.cli.simulate import main as simulate
from bids_xai.group import STEPS

SPACE = "MNI152NLin2009aSym"
FEWEST = 12  # participants that the preset quick can split


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--participants", type=int, default=2)
    parser.add_argument("--voxel-mm", type=float, default=1.0)
    parser.add_argument("--resolution", type=int, default=1, help="of the template")
    parser.add_argument("--processes", type=int, nargs="+", default=(1, 2))
    parser.add_argument("--study", default="quick")
    parser.add_argument("--work", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.work) as name:
        folder = Path(name)
        simulate(
            [
                str(folder / "raw"),
                "--n-participants",
                str(asked.participants),
                "--sessions",
                "1",
                "--voxel-mm",
                f"{asked.voxel_mm:g}",
                "--effect",
                "100",
            ]
        )
        for n in asked.processes:
            out = folder / f"out-{n}"
            seconds, memory = run(
                folder / "raw",
                out,
                "participant",
                "--nprocs",
                n,
                "--output-spaces",
                f"{SPACE}:res-{asked.resolution}",
            )
            print(
                f"participant, {n} at a time: {seconds:.0f} s, "
                f"{3600 * asked.participants / seconds:.1f} an hour, {memory:.2f} GiB",
                flush=True,
            )
        for step in STEPS if asked.participants >= FEWEST else ():
            seconds, memory = run(
                folder / "raw",
                out,
                "group",
                "--study",
                asked.study,
                "--steps",
                step,
                "--nprocs",
                asked.processes[-1],
            )
            print(f"{step}: {seconds:.0f} s, {memory:.2f} GiB", flush=True)


def run(*arguments: object) -> tuple[float, float]:
    """Run the app; return wall seconds and the peak memory of its processes (GiB)."""
    code = "import sys; from bids_xai.cli.main import main; sys.exit(main())"
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, resident_kib(process.pid))
        time.sleep(0.5)
    if process.returncode:
        raise SystemExit(f"status {process.returncode}: {' '.join(map(str, arguments))}")
    return time.perf_counter() - start, peak / 2**20


def resident_kib(pid: int) -> float:
    """Return the resident memory of a process and all below it; pages they share count for each."""
    folder = Path(f"/proc/{pid}")
    try:
        package_lines = sum(
            float(line.split()[1])
            for line in (folder / "status").read_text().splitlines()
            if line.startswith("VmRSS:")
        )
        below = [
            int(child)
            for task in folder.glob("task/*/children")
            for child in task.read_text().split()
        ]
    except OSError:  # it has just ended
        return 0.0
    return package_lines + sum(map(resident_kib, below))


if __name__ == "__main__":
    main()
