"""Speed of z+ against a pass and zennit, and of occlusion against captum; memory of each.

One run prints all ratios for `graz` and `boehle`; a ratio says the same on any machine.

    python benchmarks/attribution.py                       # 91 x 109 x 91
    python benchmarks/attribution.py --shape 80 84 79      # smaller: boehle needs 78
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from zennit.attribution import Gradient
from zennit.canonizers import SequentialMergeBatchNorm
from zennit.composites import LayerMapComposite
from zennit.rules import AlphaBeta, Pass
from zennit.types import Activation, BatchNorm, Convolution, Linear

from bids_xai.attribution import explain
from bids_xai.models import build

NETWORKS = ("graz", "boehle")
BOUNDS = {"z+": 1.0, "zennit": 4.0, "occlusion": 3.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=3, default=(91, 109, 91))
    parser.add_argument("--batch", type=int, default=2, help="volumes for z+ (occlusion: one)")
    parser.add_argument("--repeats", type=int, default=5, help="best of so many")
    parser.add_argument("--size", type=int, default=40, help="cube of occlusion")
    parser.add_argument("--stride", type=int, default=20)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    asked = parser.parse_args()
    shape = tuple(asked.shape)
    print(f"{asked.device}, {torch.get_num_threads()} threads, {asked.batch} volumes of {shape}")
    for name in NETWORKS:
        model = build(name, shape).to(asked.device).eval()
        volumes = heads(asked.batch, shape).to(asked.device)
        propagation(name, model, volumes, asked.repeats)
        covering(name, model, volumes[:1], asked.size, asked.stride)


def heads(n: int, shape: tuple[int, ...]) -> Tensor:
    """Noise within an ellipsoid that fills the grid, zero around it."""
    axes = [torch.linspace(-1, 1, size) for size in shape]
    inside = sum(part**2 for part in torch.meshgrid(*axes, indexing="ij")) < 0.9
    return torch.rand(n, 1, *shape, generator=torch.Generator().manual_seed(0)) * inside


def propagation(name: str, model: nn.Module, volumes: Tensor, repeats: int) -> None:
    """z+ / one forward and backward pass, zennit / z+; memory above what model and input take.

    A pass gives the gradients of the weights and of the input.
    """

    def forward_backward() -> None:
        model.zero_grad()
        model(volumes.clone().requires_grad_()).sum().backward()

    def zplus() -> Tensor:
        return explain("lrp-zplus", model, volumes)

    def zennit() -> None:
        rule = AlphaBeta(1, 0, zero_params=["bias"])
        composite = LayerMapComposite(
            [(Activation, Pass()), (BatchNorm, Pass()), (Convolution, rule), (Linear, rule)],
            canonizers=[SequentialMergeBatchNorm()],
        )
        with Gradient(model=model, composite=composite) as attributor:
            attributor(volumes.clone(), lambda logits: logits.softmax(1))

    runs = {"pass": forward_backward, "z+": zplus, "zennit": zennit}
    took = dict.fromkeys(runs, float("inf"))
    for turn in range(repeats + 1):  # in turns, so that a busy moment hits all; the first warms up
        for key, run in runs.items():
            took[key] = min(took[key], seconds(run, volumes.is_cuda)) if turn else took[key]
    for key, run in runs.items():
        print(
            f"{name:7s} {key:7s} {took[key]:8.3f} s   peak memory {peak_mib(run, volumes):7.0f} MiB"
        )
    verdict(name, "z+ / forward and backward pass", took["z+"] / took["pass"], BOUNDS["z+"], True)
    verdict(
        name, "zennit AlphaBeta(1, 0) / z+", took["zennit"] / took["z+"], BOUNDS["zennit"], False
    )


def covering(name: str, model: nn.Module, volumes: Tensor, size: int, stride: int) -> None:
    """Occlusion of captum, or of a plain loop where it is not installed, / ours, at equal maps."""
    maps: dict[str, Tensor] = {}
    took = {"ours": float("inf"), "theirs": float("inf")}

    def ours() -> None:
        maps["ours"] = explain("occlusion", model, volumes, size=size, stride=stride)

    def theirs() -> None:
        maps["theirs"] = reference()

    with torch.no_grad():
        reference, label = captum_or_loop(model, volumes, size, stride)
        for _ in range(2):
            took["ours"] = min(took["ours"], seconds(ours, volumes.is_cuda))
            took["theirs"] = min(took["theirs"], seconds(theirs, volumes.is_cuda))
    apart = float((maps["ours"] - maps["theirs"]).abs().max() / maps["theirs"].abs().max())
    print(
        f"{name:7s} occlusion of {size}^3 every {stride}: ours {took['ours']:.2f} s, {label} "
        f"{took['theirs']:.2f} s, maps apart {apart:.1e} of the maximum, "
        f"peak memory {peak_mib(ours, volumes):.0f} MiB"
    )
    ratio = took["theirs"] / took["ours"]
    verdict(name, f"occlusion: {label} / ours", ratio, BOUNDS["occlusion"], False)


def captum_or_loop(
    model: nn.Module, volumes: Tensor, size: int, stride: int
) -> tuple[Callable[[], Tensor], str]:
    """Another implementation, and its name."""

    def probabilities(x: Tensor) -> Tensor:
        return model(x).softmax(1)

    cube = tuple(min(size, n) for n in volumes.shape[2:])
    try:
        from captum.attr import Occlusion
    except ImportError:
        return lambda: plain_loop(probabilities, volumes, cube, stride), "a plain loop"
    steps = tuple(min(stride, n) for n in cube)
    return (
        lambda: Occlusion(probabilities).attribute(
            volumes, (1, *cube), strides=(1, *steps), target=1
        ),
        "captum",
    )


def plain_loop(
    probabilities: Callable[[Tensor], Tensor], volumes: Tensor, cube: tuple[int, ...], stride: int
) -> Tensor:
    """One whole forward pass a cube."""
    before = probabilities(volumes)[:, 1]
    total, covered = torch.zeros_like(volumes), torch.zeros_like(volumes)
    starts = [
        range(0, n - width + stride, stride)
        for n, width in zip(volumes.shape[2:], cube, strict=True)
    ]
    for corner in torch.cartesian_prod(*[torch.tensor(list(axis)) for axis in starts]).tolist():
        part = (..., *(slice(c, c + width) for c, width in zip(corner, cube, strict=True)))
        changed = volumes.clone()
        changed[part] = 0
        total[part] += (before - probabilities(changed)[:, 1]).reshape(-1, 1, 1, 1, 1)
        covered[part] += 1
    return total / covered


def seconds(run: Callable[[], object], cuda: bool) -> float:
    """Wall time of one run."""
    if cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def peak_mib(run: Callable[[], object], volumes: Tensor) -> float:
    """Peak of memory that tensors take during one run, beyond what is there before, in MiB."""
    if volumes.is_cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        run()
    now = peak = 0
    for event in sorted(memory_events(profiled), key=lambda pair: pair[0]):
        now += event[1]
        peak = max(peak, now)
    return peak / 2**20


def memory_events(profiled: object) -> list[tuple[int, int]]:
    """(time, bytes taken or given back) of every allocation that the profiler saw."""
    events = profiled.profiler.kineto_results.events()  # type: ignore[attr-defined]
    return [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"]


def verdict(name: str, what: str, ratio: float, bound: float, at_most: bool) -> None:
    holds = ratio <= bound if at_most else ratio >= bound
    sign = "at most" if at_most else "at least"
    print(f"{name:7s} {what}: {ratio:.2f} (bound: {sign} {bound:g}) {'ok' if holds else 'MISSED'}")


if __name__ == "__main__":
    main()
