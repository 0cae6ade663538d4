"""z+ relevance of `graz` against zennit and against one forward and backward pass."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from zennit.attribution import Gradient
from zennit.composites import LayerMapComposite
from zennit.rules import AlphaBeta, Pass
from zennit.types import Activation, Convolution, Linear

from bids_xai.attribution import explain
from bids_xai.models import build

SHAPE = (48, 56, 44)


def seconds(call: Callable[[], object]) -> float:
    """Best of five."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = build("graz", SHAPE, 2, seed=0).to(device).eval()
    volumes = torch.rand(6, 1, *SHAPE, device=device)

    def forward_backward() -> None:
        inputs = volumes.clone().requires_grad_()
        model(inputs).sum().backward()

    def zennit() -> None:
        rules = LayerMapComposite(
            [(Activation, Pass()), (Convolution, AlphaBeta(1, 0)), (Linear, AlphaBeta(1, 0))]
        )
        with Gradient(model=model, composite=rules) as attributor:
            attributor(volumes.clone(), lambda logits: logits.softmax(1))

    base = seconds(forward_backward)
    ours = seconds(lambda: explain("lrp-zplus", model, volumes))
    theirs = seconds(zennit)
    print(f"{device}, 6 volumes of {SHAPE}: z+ is {ours / base:.2f} a forward and backward "
          f"pass; zennit's AlphaBeta(1, 0) takes {theirs / ours:.1f} times z+")  # fmt: skip


if __name__ == "__main__":
    main()
