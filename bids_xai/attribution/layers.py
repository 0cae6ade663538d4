"""The layers attribution can walk: unrolled, named, run one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from bids_xai.errors import UsageError

ACTIVATIONS = (nn.ReLU, nn.ELU)


DROPOUTS = (nn.Dropout, nn.Dropout3d)


AVERAGES = (nn.AvgPool3d, nn.AdaptiveAvgPool3d)


KNOWN = (
    nn.Conv3d,
    nn.Linear,
    nn.MaxPool3d,
    nn.Flatten,
    nn.Identity,
    *ACTIVATIONS,
    *DROPOUTS,
    nn.BatchNorm1d,
    nn.BatchNorm3d,
    *AVERAGES,
)


Norm = nn.BatchNorm1d | nn.BatchNorm3d


Change = Callable[[Tensor], Tensor]
"""What a rule does to the weights before the layer runs again, such as keeping positive ones."""


_ANOTHER = "choose another network or another attribution method"


@runtime_checkable
class Reweightable(Protocol):
    """An affine layer of any other kind that can be run with changed weights.

    ``apply_weights(x, change, with_bias)`` passes every weight tensor through ``change``, keeps
    or drops the biases, and must be affine in ``x``.
    """

    def apply_weights(self, x: Tensor, transform: Change, with_bias: bool) -> Tensor: ...


def unroll(module: nn.Module) -> list[nn.Module]:
    """The leaves of a (nested) Sequential, or of the ``layers`` of a module, in order."""
    inner = getattr(module, "layers", None)
    if isinstance(inner, nn.Sequential):
        return unroll(inner)
    if isinstance(module, nn.Sequential):
        return [leaf for child in module for leaf in unroll(child)]
    return [module]


def known_chain(model: nn.Module, method: str) -> list[nn.Module]:
    """The leaves of ``model``; ``UsageError`` where it is no chain of layers that we know."""
    leaves = unroll(model)
    for leaf in leaves:
        if not isinstance(leaf, (*KNOWN, Reweightable)):
            raise UsageError(f"{method} has no rule for the layer {leaf}", fix=_ANOTHER)
    return leaves


def run_layers(layers: Sequence[nn.Module], x: Tensor) -> Tensor:
    """The output of layers that follow each other."""
    for layer in layers:
        x = layer(x)
    return x


def run_pointwise(layer: nn.Module, x: Tensor) -> Tensor:
    """The output of an activation or the like. Without a graph a ReLU is written over ``x``."""
    if type(layer) is nn.ReLU and not torch.is_grad_enabled():
        return x.relu_()
    y: Tensor = layer(x)
    return y


def layer_position(model: nn.Module, layer: int | str) -> int:
    """Position in :func:`unroll` of a layer, given by it or by the name of the module.

    Negative positions count from the end. Raises ``UsageError`` for a layer that is not there.
    """
    leaves = unroll(model)
    if isinstance(layer, int):
        if -len(leaves) <= layer < len(leaves):
            return layer % len(leaves)
    else:
        module = dict(model.named_modules()).get(layer)
        for position, leaf in enumerate(leaves):
            if leaf is module:
                return position
    raise UsageError(
        f"The network has no layer {layer}",
        fix=f"give a position from 0 to {len(leaves) - 1}, or the name of one of these layers",
    )


def is_affine(layer: nn.Module) -> bool:
    """Whether a layer has weights of its own that spread relevance (batch norm does not)."""
    return isinstance(layer, nn.Linear | nn.Conv3d | Reweightable)


def zero_padding(layer: nn.Conv3d) -> list[int]:
    """Zero voxels on either side of each axis."""
    if layer.padding_mode != "zeros":
        raise UsageError(
            f"There is no rule for padding with '{layer.padding_mode}'", fix="pad with zeros"
        )
    if layer.padding == "valid":
        return [0, 0, 0]
    if layer.padding == "same":
        spans = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        if any(span % 2 for span in spans):
            raise UsageError("There is no rule for one-sided padding", fix="use an odd kernel size")
        return [span // 2 for span in spans]
    return [int(padding) for padding in layer.padding]
