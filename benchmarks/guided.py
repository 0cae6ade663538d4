"""A training step on the processor, as the app takes it and as plain autograd would.

    python benchmarks/guided.py [--shape 96 114 96] [--batch-size 6] [--threads 2] [--rounds 5]

* a plain step with channels last in memory (the default on a processor) and with channels first;
* a guided step by ``attribution.guided``, and by autograd through the map of ``relevance_zplus``;
* relevance in validation by either, without gradients;
* prediction and z+ map of one volume, and of two, for each volume.

All take turns in one run, so that a busy machine slows all of them. Times are medians, of the
clock and of the processor (all threads); gradients of both guided steps are compared.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from bids_xai.attribution.guided import masked_relevance
from bids_xai.attribution.zplus import relevance_zplus
from bids_xai.models import build
from bids_xai.runtime.memory import keep_memory

LAST = torch.channels_last_3d


class Steps:
    """What is timed: methods without arguments; ``first`` and ``last`` are one network twice."""

    def __init__(self, shape: tuple[int, ...], n: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.volumes = torch.rand(n, 1, *shape, generator=generator)
        self.masks = torch.zeros(n, 1, *shape)
        self.masks[:, :, 5:-5, 5:-5, 5:-5] = 1
        self.labels = torch.arange(n) % 2
        self.first, self.last = (build("graz", shape, 2, seed=0) for _ in range(2))
        self.last.to(memory_format=LAST)

    def plain(self) -> None:
        self._step(self.last, self.last(self.volumes.contiguous(memory_format=LAST)))

    def plain_channels_first(self) -> None:
        self._step(self.first, self.first(self.volumes))

    def guided(self) -> None:
        sums = masked_relevance(self.last, self.volumes, self.masks, -1 / len(self.volumes))
        self._step(self.last, sums.logits, sums.inner.sum())

    def guided_by_the_map(self) -> None:
        logits, relevance = relevance_zplus(self.first, self.volumes, create_graph=True)
        self._step(self.first, logits, -(self.masks * relevance).flatten(1).sum(1).mean())

    @torch.no_grad()
    def validation(self) -> None:
        masked_relevance(self.last, self.volumes, self.masks)

    @torch.no_grad()
    def validation_by_the_map(self) -> None:
        _, relevance = relevance_zplus(self.last, self.volumes)
        (self.masks * relevance).flatten(1).sum(1)

    @torch.no_grad()
    def predict_one(self) -> None:
        self.first(self.volumes[:1])

    @torch.no_grad()
    def predict_two(self) -> None:
        self.first(self.volumes[:2])

    @torch.no_grad()
    def map_one(self) -> None:
        relevance_zplus(self.first, self.volumes[:1])

    @torch.no_grad()
    def map_two(self) -> None:
        relevance_zplus(self.first, self.volumes[:2])

    def _step(self, model: nn.Module, logits: Tensor, term: Tensor | float = 0.0) -> None:
        model.zero_grad()
        (functional.cross_entropy(logits, self.labels) + term).backward()


def main() -> None:
    parser = argparse.ArgumentParser(description="training on the processor")
    parser.add_argument("--shape", type=int, nargs=3, default=(96, 114, 96))
    parser.add_argument("--batch-size", type=int, default=6)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    keep_memory()
    torch.set_num_threads(options.threads)
    steps = Steps(tuple(options.shape), options.batch_size)
    calls: list[Callable[[], None]] = [
        *(steps.plain, steps.plain_channels_first, steps.guided, steps.guided_by_the_map),
        *(steps.validation, steps.validation_by_the_map),
        *(steps.predict_one, steps.predict_two, steps.map_one, steps.map_two),
    ]
    times: dict[str, list[tuple[float, float]]] = {call.__name__: [] for call in calls}
    for turn in range(options.rounds + 1):
        for call in calls:
            clock, processor = time.perf_counter(), time.process_time()
            call()
            if turn:  # the first one allocates
                seconds = time.perf_counter() - clock, time.process_time() - processor
                times[call.__name__].append(seconds)
    for name, measured in times.items():
        clock, processor = (statistics.median(values) for values in zip(*measured, strict=True))
        print(f"{name:24} {clock:7.3f} s   processor {processor:7.3f} s")
    gradients = []
    for call, network in ((steps.guided, steps.last), (steps.guided_by_the_map, steps.first)):
        call()
        gradients.append([p.grad.clone() for p in network.parameters() if p.grad is not None])
    differences = ((a - b).abs().max() / b.abs().max() for a, b in zip(*gradients, strict=True))
    print(f"gradients differ by {float(max(differences)):.1e} of the largest of a layer")


if __name__ == "__main__":
    main()
