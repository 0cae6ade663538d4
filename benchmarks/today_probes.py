"""What `today.py` measures in a checkout; each probe prints one line of JSON.

    PYTHONPATH=CHECKOUT python benchmarks/today_probes.py NAME [options]

A probe uses only what both checkouts have: a training step as the training loop takes it, a
network's forward pass, z+ relevance. Times are medians of wall seconds.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from bids_xai.cli.main import _set_environment

_set_environment()  # as the command line does, before torch is loaded

import torch  # noqa: E402

from bids_xai.attribution.zplus import relevance_zplus  # noqa: E402
from bids_xai.models import build  # noqa: E402
from bids_xai.runtime.memory import keep_memory  # noqa: E402
from bids_xai.training import loop  # noqa: E402
from bids_xai.training.epoch import take_step  # noqa: E402
from bids_xai.training.processes import Processes  # noqa: E402
from bids_xai.training.recipe import Recipe  # noqa: E402
from bids_xai.training.signals import StopRequest  # noqa: E402

BUSY = "while True: pass"


class Head:
    """Made-up scans: positive noise and a box for a brain."""

    def __init__(self, n: int, shape: tuple[int, int, int]) -> None:
        generator = torch.Generator().manual_seed(0)
        self._volumes = [torch.rand(1, *shape, generator=generator) for _ in range(n)]
        self._mask = torch.zeros(1, *shape)
        self._mask[:, 5:-5, 5:-5, 5:-5] = 1

    def __len__(self) -> int:
        return len(self._volumes)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        return self._volumes[index], self._mask, index % 2


def step(options: argparse.Namespace, guided: bool) -> Callable[[], object]:
    """A training step of the defaults of :class:`Recipe`."""
    shape = tuple(options.shape)
    recipe = Recipe(batch_size=options.batch_size, relevance_guided=guided)
    model = build(options.architecture, shape, 2, seed=0).train()
    scans = Head(options.batch_size, shape)
    labels = [index % 2 for index in range(len(scans))]
    run = loop._prepare(model, labels, recipe, "cpu", Processes(), StopRequest())
    return lambda: take_step(run, scans, list(range(len(scans))), recipe, 1, None)


def seconds(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each call; they take turns, after one call of each."""
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def steps(options: argparse.Namespace) -> dict[str, float]:
    """Seconds of a plain and of a guided step."""
    calls = {"plain": step(options, False), "guided": step(options, True)}
    return seconds(calls, options.rounds)


def single(options: argparse.Namespace) -> dict[str, float]:
    """Seconds a volume, alone over in a batch of two, of prediction and of z+ relevance."""
    shape = tuple(options.shape)
    model = build(options.architecture, shape, 2, seed=0).eval()
    two = torch.rand(2, 1, *shape, generator=torch.Generator().manual_seed(0))

    def predict(volumes: torch.Tensor) -> Callable[[], object]:
        def call() -> None:
            with torch.no_grad():
                model(volumes)

        return call

    def explain(volumes: torch.Tensor) -> Callable[[], object]:
        return lambda: relevance_zplus(model, volumes)

    calls = {
        "predict 1": predict(two[:1]),
        "predict 2": predict(two),
        "z+ 1": explain(two[:1]),
        "z+ 2": explain(two),
    }
    times = seconds(calls, options.rounds)
    return times | {
        f"{kind} ratio": 2 * times[f"{kind} 1"] / times[f"{kind} 2"] for kind in ("predict", "z+")
    }


def load(options: argparse.Namespace) -> dict[str, float]:
    """A guided step beside busy processes: with the threads of a run over with one thread."""
    call = step(options, True)
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(options.busy)]
    try:
        n_threads = _threads_of_a_run(options.threads)

        def with_threads(n: int) -> Callable[[], object]:
            def timed() -> None:
                torch.set_num_threads(n)
                call()

            return timed

        times = seconds({"run": with_threads(n_threads), "one": with_threads(1)}, options.rounds)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    return times | {"threads": n_threads, "ratio": times["run"] / times["one"]}


def _threads_of_a_run(available: int) -> int:
    try:
        from bids_xai.runtime.threads import free_cpus
    except ImportError:  # the checkout takes what is granted
        return available
    return free_cpus(available)


def memory(options: argparse.Namespace) -> dict[str, float]:
    """Peak memory (GB) and seconds of a guided step."""
    times = seconds({"guided": step(options, True)}, options.rounds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return times | {"peak": peak}


PROBES = {"steps": steps, "single": single, "load": load, "memory": memory}


def main() -> None:
    """Run one probe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("probe", choices=PROBES)
    parser.add_argument("--shape", type=int, nargs=3, default=(96, 114, 96))
    parser.add_argument("--architecture", default="graz")
    parser.add_argument("--batch-size", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy", type=int, default=8)
    options = parser.parse_args()
    keep_memory()
    torch.set_num_threads(options.threads)
    print(json.dumps(PROBES[options.probe](options)))


if __name__ == "__main__":
    main()
