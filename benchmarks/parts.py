"""A guided step whose batch is taken in parts: memory, time and gradients.

    python benchmarks/parts.py [--shape 88 112 128] [--parts 1 2 3 6] [--plain]

Each number of parts is a process of its own, as memory is never given back; its peak is what the
system says (resident). Times are processor seconds, the best of all rounds. Gradients are compared
with those of the first number of parts: the largest difference over the largest gradient.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler

from bids_xai.models import build
from bids_xai.models.size import network_size, step_bytes
from bids_xai.runtime.memory import keep_memory
from bids_xai.training.epoch import Run, take_step
from bids_xai.training.parameters import build_optimizer
from bids_xai.training.processes import Processes
from bids_xai.training.recipe import Recipe
from bids_xai.training.resume import Learner
from bids_xai.training.signals import StopRequest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=3, default=(88, 112, 128))
    parser.add_argument("--parts", type=int, nargs="+", default=(1, 2, 3, 6))
    parser.add_argument("--architecture", default="graz")
    parser.add_argument("--batch-size", type=int, default=6)
    parser.add_argument("--plain", action="store_true", help="without guidance")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    weights, values = network_size(options.architecture, tuple(options.shape), 2)
    print(f"{options.architecture}, batch of {options.batch_size}, {options.shape} voxels")
    first: Tensor | None = None
    for parts in options.parts:
        scans = -(-options.batch_size // parts)
        expected = step_bytes(weights, values, scans, guided=not options.plain)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, peak, before, gradient = pool.apply(measured, (options, parts))
        first = gradient if first is None else first
        difference = float((gradient - first).abs().max() / first.abs().max())
        print(
            f"  {parts} parts: {seconds:7.2f} s a step, {peak:6.2f} GB ({before:.2f} before it, "
            f"{expected / 1e9:.2f} expected for it), gradients differ by {difference:.1e}",
            flush=True,
        )


def measured(options: argparse.Namespace, parts: int) -> tuple[float, float, float, Tensor]:
    """Seconds of a step, peak memory in GB, memory before the first step, and the gradient."""
    keep_memory()
    recipe = Recipe(batch_size=options.batch_size, relevance_guided=not options.plain)
    model = build(options.architecture, options.shape, 2, seed=0).train()
    run = Run(
        learner=Learner(model, build_optimizer(model, recipe), GradScaler("cuda", enabled=False)),
        recipe=recipe,
        class_weights=None,
        penalised=(),
        processes=Processes(),
        stop=StopRequest(),
        parts=parts,
    )
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(1, *options.shape)
    mask[:, 5:-5, 5:-5, 5:-5] = 1
    data = [
        (torch.rand(1, *options.shape, generator=generator), mask, i % 2)
        for i in range(options.batch_size)
    ]
    before = peak_gb()
    gradient, seconds = torch.empty(0), []
    for number in range(options.rounds):
        start = time.process_time()
        take_step(run, data, range(len(data)), recipe, 1, None)
        seconds.append(time.process_time() - start)
        if number == 0:
            gradient = torch.cat([p.grad.flatten() for p in model.parameters()])
    return min(seconds), peak_gb(), before, gradient


def peak_gb() -> float:
    """Peak of this process; ru_maxrss would hold that of the process that started it."""
    status = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in status if line.startswith("VmHWM:")]
    return float(line.split()[1]) * 1024 / 1e9


if __name__ == "__main__":
    main()
