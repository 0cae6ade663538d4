"""Every figure of speed and memory, side by side with an earlier checkout.

    python benchmarks/today.py BASE [--base-python PYTHON] [--only NAME ...] [--work FOLDER]

BASE is a checkout of the commit to compare with, run by BASE/.venv/bin/python, or by
``--base-python``. All work is done by both in turn, before, after, before, after, so that a busy
machine slows both. Printed is one table: work, before, after, ratio, target. Seconds are medians;
"CPU s" are those of a process and its children. The machine should be quiet: 25 minutes on two
cores.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
PROBES = Path(__file__).with_name("today_probes.py")
STUDY = """name = "today"
[target]
column = "diagnosis"
negative = "NC"
positive = "AD"
[input]
suffix = "R2starmap"
space = "T1w"
scale = 40.0
maximum = 100.0
voxel_mm = 5.0
[splits]
scheme = "random"
repeats = 1
fractions = [0.5, 0.25, 0.25]
[model]
architecture = "graz"
[training]
epochs = 2
batch_size = 4
[[configurations]]
id = "A"
[attribution]
methods = ["lrp-zplus", "lrp-composite-1"]
[spray]
neighbours = 3
"""


@dataclass(frozen=True)
class Checkout:
    """A checkout and the Python that runs it."""

    folder: Path
    python: Path

    def run(self, *arguments: object, inside: Path | None = None) -> Usage:
        """Run Python with arguments; raise where it fails."""
        names = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "PYTHONPATH")
        environment = {name: text for name, text in os.environ.items() if name not in names}
        environment |= {"PYTHONPATH": str(self.folder), "NO_ET": "1"}
        started = time.perf_counter()
        with tempfile.TemporaryFile("w+") as output:
            process = subprocess.Popen(
                [self.python, *map(str, arguments)],
                cwd=inside or self.folder,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            output.seek(0)
            text = output.read()
        if process.returncode:
            raise SystemExit(f"{self.folder}: {arguments} failed:\n{text[-3000:]}")
        return Usage(
            text, time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss
        )

    def probe(self, name: str, *options: object) -> dict[str, float]:
        """The figures of a probe."""
        result: dict[str, float] = json.loads(
            self.run(PROBES, name, *options).text.splitlines()[-1]
        )
        return result

    def app(self, raw: Path, out: Path, level: str, *options: object) -> Usage:
        """Run the app."""
        return self.run("-m", "bids_xai", raw, out, level, *options)


@dataclass(frozen=True)
class Usage:
    """Output of a process, its seconds on the wall and of the processor, and its peak in KiB."""

    text: str
    wall: float
    cpu: float
    peak: int


@dataclass(frozen=True)
class Line:
    """A line of the table; ``higher`` is whether the ratio before / after should be high."""

    work: str
    before: float
    after: float
    unit: str
    target: str

    def __str__(self) -> str:
        ratio = self.before / self.after if self.after else float("nan")
        cells = (f"{self.before:.3g} {self.unit}", f"{self.after:.3g} {self.unit}", f"{ratio:.2f}")
        return " | ".join(("", self.work, *cells, self.target, "")).strip()


@dataclass(frozen=True)
class Bench:
    """Both checkouts, a folder to work in, and how often each probe runs."""

    base: Checkout
    new: Checkout
    work: Path
    rounds: int

    def both(self, measure: Callable[[Checkout], dict[str, float]]) -> Iterator[dict[str, float]]:
        """Medians of what each checkout measures, base first; they take turns."""
        rows = [[measure(self.base), measure(self.new)] for _ in range(self.rounds)]
        for results in zip(*rows, strict=True):
            yield {key: statistics.median(row[key] for row in results) for key in results[0]}

    def folder_of(self, checkout: Checkout, name: str) -> Path:
        """A folder of one of the two."""
        return self.work / ("base" if checkout is self.base else "new") / name


def steps(bench: Bench) -> Iterator[Line]:
    """Training steps of 6 x 96 x 114 x 96."""
    before, after = bench.both(lambda checkout: checkout.probe("steps"))
    targets = {"plain": ">= 2.05", "guided": ">= 1.7"}
    for kind, target in targets.items():
        yield Line(f"{kind} step", before[kind], after[kind], "s", target)


def single(bench: Bench) -> Iterator[Line]:
    """A volume alone, and in a batch of two."""
    before, after = bench.both(lambda checkout: checkout.probe("single"))
    for kind in ("predict", "z+"):
        name = f"{kind} ratio"
        work = f"{kind}: a volume alone / in a batch of two"
        yield Line(work, before[name], after[name], "×", "after <= 1.1")
        yield Line(f"{kind}: a volume alone", before[f"{kind} 1"], after[f"{kind} 1"], "s", "")


def load(bench: Bench) -> Iterator[Line]:
    """A guided step beside eight busy processes."""
    before, after = bench.both(lambda checkout: checkout.probe("load"))
    work = "guided step beside 8 busy processes / with one thread"
    yield Line(work, before["ratio"], after["ratio"], "×", "after <= 1.3")


def memory(bench: Bench) -> Iterator[Line]:
    """Peak of a guided step, smaller than the 176 x 224 x 256 that the base cannot take here."""
    shape = ("--shape", 112, 144, 160, "--rounds", 1)
    before, after = bench.both(lambda checkout: checkout.probe("memory", *shape))
    yield Line("guided step of 6 × 112×144×160, peak", before["peak"], after["peak"], "GB", "")
    yield Line("the same, time", before["guided"], after["guided"], "s", "")


def participant(bench: Bench) -> Iterator[Line]:
    """One session at 1 mm."""
    raw = bench.work / "raw-1mm"
    simulate(bench.new, raw, "--n-participants", 1, "--sessions", 1, "--voxel-mm", 1)

    def measure(checkout: Checkout) -> dict[str, float]:
        out = bench.folder_of(checkout, "out-1mm")
        shutil.rmtree(out, ignore_errors=True)
        space = ("--output-spaces", "MNI152NLin2009aSym:res-2")
        return {"cpu": checkout.app(raw, out, "participant", "--nprocs", 1, *space).cpu}

    before, after = bench.both(measure)
    yield Line("participant, a 1 mm session", before["cpu"], after["cpu"], "CPU s", ">= 1.75")


def cohort(bench: Bench, checkout: Checkout) -> tuple[Path, Path, Path]:
    """Raw data, derivatives with everything done by that checkout, and the study file."""
    raw, study = bench.work / "raw", bench.work / "today.toml"
    out = bench.folder_of(checkout, "out")
    study.write_text(STUDY)
    simulate(bench.new, raw, "--n-participants", 8, "--sessions", 1, "--voxel-mm", 4)
    options = ("--nprocs", 2, "--sloppy", "--output-spaces", "MNI152NLin2009aSym:res-3")
    checkout.app(raw, out, "participant", *options)
    checkout.app(raw, out, "group", "--study", study, "--nprocs", 2)
    return raw, out, study


def nothing_to_do(bench: Bench) -> Iterator[Line]:
    """Runs over what is done: everything, and of the step ``trust`` all but its tables."""
    places = {checkout.folder: cohort(bench, checkout) for checkout in (bench.base, bench.new)}

    def measure(checkout: Checkout) -> dict[str, float]:
        raw, out, study = places[checkout.folder]
        options = ("--nprocs", 2, "--sloppy", "--output-spaces", "MNI152NLin2009aSym:res-3")
        people = checkout.app(raw, out, "participant", *options)
        group = checkout.app(raw, out, "group", "--study", study, "--nprocs", 2)
        return {"people": people.cpu, "group": group.cpu, "peak": group.peak * 1024 / 1e9}

    before, after = bench.both(measure)
    target = "after <= "
    yield Line("group, nothing to do", before["group"], after["group"], "CPU s", f"{target}3")
    yield Line("the same, peak", before["peak"], after["peak"], "GB", f"{target}0.3")
    yield Line(
        "participant, nothing to do", before["people"], after["people"], "CPU s", f"{target}1"
    )


def trust(bench: Bench) -> Iterator[Line]:
    """The step ``trust`` on the same models and heatmaps, and whether its tables are equal."""
    raw, out, study = cohort(bench, bench.new)
    tables = Path("group", "today", "quality")

    def measure(checkout: Checkout) -> dict[str, float]:
        copy = bench.folder_of(checkout, "trust")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(out, copy)  # keeps times
        shutil.rmtree(copy / tables)
        usage = checkout.app(
            raw, copy, "group", "--study", study, "--steps", "quality", "--omp-nthreads", 1
        )
        return {"cpu": usage.cpu}

    before, after = bench.both(measure)
    yield Line("step trust", before["cpu"], after["cpu"], "CPU s", ">= 3")
    copies = [bench.folder_of(checkout, "trust") / tables for checkout in (bench.base, bench.new)]
    names = sorted(path.relative_to(copies[0]) for path in copies[0].rglob("*.tsv"))
    worst = max((difference(*(copy / name for copy in copies)), str(name)) for name in names)
    print(
        f"step trust: numbers of {len(names)} tables differ by at most {worst[0]:.1g} ({worst[1]})"
    )


def difference(*files: Path) -> float:
    """Largest difference of a number in two tables; infinite where lines or cells are missing.

    Sentences may differ: they are worded anew now and then.
    """
    first, second = (
        [line.split("\t") for line in file.read_text().splitlines()] if file.is_file() else []
        for file in files
    )
    if [len(row) for row in first] != [len(row) for row in second]:
        return math.inf
    pairs = [pair for rows in zip(first, second, strict=True) for pair in zip(*rows, strict=True)]
    return max((_distance(a, b) for a, b in pairs if a != b), default=0.0)


def _distance(first: str, second: str) -> float:
    numbers = [_number(text) for text in (first, second)]
    if None in numbers:
        return 0.0 if numbers == [None, None] else math.inf
    return abs(float(first) - float(second))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def spray(bench: Bench) -> Iterator[Line]:
    """SpRAy of maps of 230,000 voxels."""
    for n_maps in (500, 2000):

        def measure(checkout: Checkout, n_maps: int = n_maps) -> dict[str, float]:
            script = checkout.folder / "benchmarks" / "spray.py"
            return {"cpu": checkout.run(script, "speed", "--maps", n_maps).cpu}

        before, after = bench.both(measure)
        work = f"spray.py speed --maps {n_maps}"
        yield Line(work, before["cpu"], after["cpu"], "CPU s", "")


def simulate(checkout: Checkout, raw: Path, *options: object) -> None:
    """A raw cohort, made once."""
    if not raw.exists():
        checkout.run("-m", "bids_xai.cli.simulate", raw, *options, "--seed", 1)


MEASUREMENTS: dict[str, Callable[[Bench], Iterator[Line]]] = {
    "steps": steps,
    "single": single,
    "load": load,
    "memory": memory,
    "participant": participant,
    "nothing": nothing_to_do,
    "trust": trust,
    "spray": spray,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("base", type=Path, help="checkout of the commit to compare with")
    parser.add_argument("--base-python", type=Path, help="default: BASE/.venv/bin/python")
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, default=list(MEASUREMENTS))
    parser.add_argument("--work", type=Path, help="folder to work in; kept (default: temporary)")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(argv)
    base = options.base.resolve()
    python = options.base_python or base / ".venv" / "bin" / "python"
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(
            Checkout(base, python.absolute()),
            Checkout(HERE, Path(sys.executable)),
            (options.work or Path(temporary)).resolve(),
            options.rounds,
        )
        print("| Work | Before | After | Before / after | Target |\n|---|---|---|---|---|")
        for name in options.only:
            for line in MEASUREMENTS[name](bench):
                print(line, flush=True)


if __name__ == "__main__":
    main()
