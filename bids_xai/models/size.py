"""The size of a network before it is built."""

from __future__ import annotations

from typing import Any


def network_size(
    name: str, shape: tuple[int, int, int], n_classes: int, **options: Any
) -> tuple[int, int]:
    """Numbers of parameters, and of values in all feature maps of one scan; nothing is computed.

    Raises :class:`UsageError` for a network that cannot be built on this grid.
    """
    import torch

    from bids_xai.models import build

    model = build(name, shape, n_classes, **options).eval()
    weights = sum(parameter.numel() for parameter in model.parameters())
    counted = [0]

    def count(module: torch.nn.Module, inputs: object, output: torch.Tensor) -> None:
        counted[0] += output.numel()

    leaves = [m for m in model.modules() if not any(m.children())]
    handles = [leaf.register_forward_hook(count) for leaf in leaves]
    try:
        with torch.no_grad():
            model.to("meta")(torch.empty((1, 1, *shape), device="meta"))
    finally:
        for handle in handles:
            handle.remove()
    return weights, counted[0]
