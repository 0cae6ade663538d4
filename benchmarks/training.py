"""One training step of `graz`: with guidance against without, memory layout, half precision.

All variants take turns in one run, so that a busy machine slows all of them; times are the best
of all rounds. The bound: a guided step takes at most 2.8 plain ones at 96 x 114 x 96 voxels.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch.amp.grad_scaler import GradScaler

from bids_xai.models import build
from bids_xai.runtime.memory import keep_memory
from bids_xai.training.epoch import Run, take_step
from bids_xai.training.parameters import build_optimizer
from bids_xai.training.processes import Processes
from bids_xai.training.recipe import Recipe
from bids_xai.training.resume import Learner
from bids_xai.training.signals import StopRequest

BOUND = 2.8
VARIANTS: dict[str, dict[str, object]] = {
    "plain": {},
    "guided": {"relevance_guided": True},
    "plain, channels first": {"channels_last": False},
    "plain, channels last": {"channels_last": True},
    "guided, channels last": {"channels_last": True, "relevance_guided": True},
    "plain, bf16": {"mixed_precision": "bf16"},
    "plain, bf16, channels last": {"mixed_precision": "bf16", "channels_last": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=3, default=(96, 114, 96))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--architecture", default="graz", help="one that can be guided")
    parser.add_argument("--batch-size", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--give-back",
        action="store_true",
        help="free memory as the C library does, not as train() does",
    )
    options = parser.parse_args()
    if not options.give_back and not keep_memory():
        print("the C library handles memory as it likes")
    torch.set_num_threads(options.threads)
    steps = {name: step(options, changes) for name, changes in VARIANTS.items()}
    times = {name: [0.0] * options.rounds for name in VARIANTS}
    for call in steps.values():
        call()  # the first step allocates
    for i in range(options.rounds):
        for name, call in steps.items():
            start = time.perf_counter()
            call()
            times[name][i] = time.perf_counter() - start
    best = {name: min(durations) for name, durations in times.items()}
    shape = " x ".join(map(str, options.shape))
    print(
        f"{options.architecture}, {options.batch_size} volumes of {shape} on {options.device}, "
        f"{options.threads} thread(s), best of {options.rounds}"
    )
    for name, seconds in best.items():
        rate, ratio = options.batch_size / seconds, seconds / best["plain"]
        print(f"  {name:28} {seconds:8.3f} s {rate:8.2f} scans/s {ratio:6.2f} x plain")
    print(f"guided / plain: {best['guided'] / best['plain']:.2f} (bound {BOUND})")
    if options.device.startswith("cuda"):
        print(f"peak memory: {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB")


def step(options: argparse.Namespace, changes: dict[str, object]) -> Callable[[], None]:
    """A call that takes one step, and waits for the device."""
    recipe = Recipe(batch_size=options.batch_size, **changes)  # type: ignore[arg-type]
    model = build(options.architecture, options.shape, 2, seed=0).to(options.device).train()
    if recipe.lies_last(options.device):
        model = model.to(memory_format=torch.channels_last_3d)
    scaler = GradScaler("cuda", enabled=False)
    run = Run(
        learner=Learner(model, build_optimizer(model, recipe), scaler),
        recipe=recipe,
        class_weights=None,
        penalised=(),
        processes=Processes(),
        stop=StopRequest(),
    )
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(1, *options.shape)
    mask[:, 5:-5, 5:-5, 5:-5] = 1
    data = [
        (torch.rand(1, *options.shape, generator=generator), mask, i % 2)
        for i in range(options.batch_size)
    ]

    def call() -> None:
        take_step(run, data, range(len(data)), recipe, 1, None)
        if options.device.startswith("cuda"):
            torch.cuda.synchronize()

    return call


if __name__ == "__main__":
    main()
