"""The size of a network before it is built."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

# Copies of all feature maps that a step holds at its peak, measured on the networks of the table
# (docs/training.md): activations and their gradients; guidance also differentiates the relevance.
_PLAIN_COPIES, _GUIDED_COPIES = 2.5, 6.0
_STATES = 4  # weights, gradients and the two moments of Adam


def network_size(
    name: str, shape: tuple[int, int, int], n_classes: int, **options: Any
) -> tuple[int, int]:
    """Numbers of parameters, and of values in all feature maps of one scan; nothing is computed.

    Raises :class:`UsageError` for a network that cannot be built on this grid.
    """
    import torch

    from bids_xai.models import build

    with torch.device("meta"):  # tensors without memory: the grid may be beyond any machine
        model = build(name, shape, n_classes, **options)
    weights = sum(parameter.numel() for parameter in model.parameters())
    return weights, feature_values(model, (1, *shape))


def feature_values(model: nn.Module, shape: tuple[int, ...]) -> int:
    """Number of values in all feature maps of one scan (channels, x, y, z); nothing is computed."""
    import torch

    counted = [0]

    def count(module: torch.nn.Module, inputs: object, output: object) -> None:
        counted[0] += output.numel() if isinstance(output, torch.Tensor) else 0

    empty = copy.deepcopy(model).eval().to("meta")
    for module in empty.modules():
        module._forward_hooks.clear()  # who looks at the network is not to see this
        module._forward_pre_hooks.clear()
        if not any(module.children()):
            module.register_forward_hook(count)
    with torch.no_grad():
        empty(torch.empty((1, *shape), device="meta"))
    return counted[0]


def step_bytes(weights: int, values: int, scans: int, *, guided: bool) -> float:
    """Memory that a training step takes at its peak, about.

    weights : of the network; values : of all feature maps of a scan; scans : at once
    """
    copies = _GUIDED_COPIES if guided else _PLAIN_COPIES
    return 4 * (copies * values * scans + _STATES * weights)
