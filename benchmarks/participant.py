"""Where the time of the participant level goes: its ANTs calls, and everything else.

    python benchmarks/participant.py [--participants 4] [--voxel-mm 2]

Simulates a cohort, runs the participant level on it in one process, times every call into antspyx
and prints the profile. The last line is the ratio of the whole wall time (indexing, fits, files,
pictures and pages included; interpreter start and imports not) to that of the ANTs calls.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bids_xai.cli.simulate import main as simulate
from bids_xai.settings import EMBEDDED_TEMPLATE, OutputSpace, RunSettings
from bids_xai.stages import ants_tools
from bids_xai.workflows.participant import run_participants


class Timed:
    """A stand-in for a module: calls of its functions are timed, once where they nest."""

    def __init__(self, module: Any, seconds: Counter[str], depth: list[int]) -> None:
        self._module, self._seconds, self._depth = module, seconds, depth

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._module, name)
        return self._timed(name, attribute) if callable(attribute) else attribute

    def _timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            self._depth[0] += 1
            try:
                return function(*arguments, **options)
            finally:
                self._depth[0] -= 1
                if self._depth[0] == 0:
                    self._seconds[name] += time.perf_counter() - start

        return call


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--participants", type=int, default=4)
    parser.add_argument("--voxel-mm", type=float, default=2.0)
    arguments = parser.parse_args()
    seconds: Counter[str] = Counter()
    depth = [0]
    module = ants_tools.ants_module
    ants_tools.ants_module = lambda seed: Timed(module(seed), seconds, depth)
    module(0)
    with tempfile.TemporaryDirectory() as name:
        raw, out = Path(name) / "raw", Path(name) / "out"
        simulate(
            [
                str(raw),
                "--n-participants",
                str(arguments.participants),
                "--sessions",
                "1",
                "--voxel-mm",
                str(arguments.voxel_mm),
            ]
        )
        settings = RunSettings(
            bids_dir=raw,
            output_dir=out,
            analysis_level="participant",
            nprocs=1,
            output_spaces=(OutputSpace(EMBEDDED_TEMPLATE, 2),),
        )
        start = time.perf_counter()
        run = run_participants(settings)
        wall = time.perf_counter() - start
    assert len(run.done) == arguments.participants, run.failed
    total = sum(seconds.values())
    for call, spent in seconds.most_common(8):
        print(f"{call:28s} {spent / arguments.participants:7.2f} s a session")
    print(f"{'everything else':28s} {(wall - total) / arguments.participants:7.2f} s a session")
    print(f"wall {wall:.1f} s / ANTs {total:.1f} s = {wall / total:.3f}")


if __name__ == "__main__":
    main()
