r"""Layer-wise relevance propagation with the z+ rule, differentiable.

For every dense and convolutional layer, the first included, biases ignored:

.. math:: W^+ = \max(W, 0), \quad Z = x * W^+, \quad R_{in} = x \odot (W^{+T} * (R / Z))

Relevance passes unchanged through softmax, biases, ReLU, dropout and flattening. With
``create_graph`` the result can be trained on: gradients reach the parameters through
:math:`W^+` and through the activations.

Source: Montavon et al. 2017 (z+ rule of deep Taylor decomposition), which is LRP with alpha 1,
beta 0 (Bach et al. 2015); guidance as in Tinauer et al. 2022, 2025.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from bids_xai.errors import BadDataError, UsageError

FLOOR = 1e-7
"""Smallest activation and weight under ``zero_division="clamp"``: no unit divides by zero."""

STARTS = ("softmax", "probability", "logit")
ZERO_DIVISION = ("clamp", "zero")

_PASSED = (nn.ReLU, nn.Dropout, nn.Dropout3d, nn.Identity)
_WEIGHTED = (nn.Linear, nn.Conv3d)


def lrp_zplus(
    model: nn.Module,
    volumes: Tensor,
    target: int = 1,
    *,
    start: str = "softmax",
    zero_division: str = "clamp",
) -> Tensor:
    """z+ relevance (n, 1, x, y, z), >= 0 unless ``start`` is a negative logit.

    Relevance starts at the full softmax vector and sums to 1 for every volume; with ``start``
    ``probability`` or ``logit`` it starts at, and sums to, that of class ``target``.
    See :func:`relevance_zplus`.
    """
    chosen = None if start == "softmax" else target
    _, relevance = relevance_zplus(
        model, volumes, start=start, target=chosen, zero_division=zero_division
    )
    return relevance


def relevance_zplus(
    layers: nn.Module,
    volumes: Tensor,
    *,
    start: str = "softmax",
    target: int | None = None,
    zero_division: str = "clamp",
    create_graph: bool = False,
) -> tuple[Tensor, Tensor]:
    """Logits and z+ relevance of a chain of layers.

    layers : an ``nn.Sequential`` (nested ones are unrolled), or a module whose whole forward pass
        is its attribute ``layers``
    volumes : (n, 1, x, y, z), >= 0
    start : ``softmax`` (full vector, sums to 1), ``probability`` or ``logit`` of class ``target``
    zero_division : ``clamp`` raises activations and weights to at least 1e-7, so that the sum of
        relevance is kept exactly (zero padding stays zero and takes no relevance);
        ``zero`` sets 0/0 to 0 and loses the relevance of units that no positive weight feeds
    create_graph : keep the graph, so that a loss of the relevance can be trained on. Gradients
        stay bounded as long as biases are <= 0: then no activation exceeds its Z.

    Returns ``logits`` (n, classes) and ``relevance`` (n, 1, x, y, z), whose sum per volume is the
    start. Raises ``BadDataError`` for negative or undefined input, ``UsageError`` for a layer
    that the rule does not cover.
    """
    if zero_division not in ZERO_DIVISION:
        raise UsageError(
            f"Unknown zero division '{zero_division}'", fix=f"use {' or '.join(ZERO_DIVISION)}"
        )
    chain = zplus_chain(layers)
    if not bool((volumes >= 0).all()):
        raise BadDataError("z+ needs inputs >= 0", fix="scale the maps, never z-score them")
    with torch.set_grad_enabled(create_graph):
        logits, inputs = _forward(chain, volumes)
        relevance = _start(logits, start, target)
        for layer in reversed(chain):
            if isinstance(layer, nn.Linear | nn.Conv3d):
                relevance = _redistribute(layer, inputs.pop(), relevance, zero_division)
            elif isinstance(layer, nn.Flatten):
                relevance = relevance.reshape(inputs.pop().shape)
    return logits, relevance


def zplus_chain(model: nn.Module) -> list[nn.Module]:
    """The layers of ``model`` in order, or ``UsageError`` where the z+ rule does not hold.

    Every weighted layer but the first must see activations >= 0, so a ReLU must come between.
    """
    chain = _unroll(model)
    rectified = True
    for layer in chain:
        if isinstance(layer, _WEIGHTED):
            if not rectified:
                raise UsageError(
                    f"z+ needs a ReLU before {layer}", fix="choose another attribution method"
                )
            rectified = False
        elif isinstance(layer, nn.ReLU):
            rectified = True
        elif not isinstance(layer, (*_PASSED, nn.Flatten)):
            raise UsageError(
                f"z+ has no rule for the layer {layer}",
                fix="choose another network or another attribution method",
            )
    return chain


def _unroll(module: nn.Module) -> list[nn.Module]:
    """The leaves of a (nested) Sequential, or of the ``layers`` of a module."""
    inner = getattr(module, "layers", None)
    if isinstance(inner, nn.Sequential):
        return _unroll(inner)
    if isinstance(module, nn.Sequential):
        return [leaf for child in module for leaf in _unroll(child)]
    return [module]


def _forward(chain: list[nn.Module], volumes: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Logits (n, classes) and what weighted layers and flattening received, in order."""
    inputs: list[Tensor] = []
    x = volumes
    for layer in chain:
        if isinstance(layer, (*_WEIGHTED, nn.Flatten)):
            inputs.append(x)
        x = layer(x)
    return x, inputs


def _start(logits: Tensor, start: str, target: int | None) -> Tensor:
    """Relevance (n, classes) at the output."""
    if start not in STARTS:
        raise UsageError(f"Unknown start '{start}'", fix=f"use {', '.join(STARTS)}")
    if (start == "softmax") != (target is None):
        raise UsageError(
            f"Start '{start}' and target {target} do not go together",
            fix="give a target class for a probability or logit, none for the softmax vector",
        )
    values = logits if start == "logit" else logits.softmax(dim=1)
    if target is None:
        return values
    if not 0 <= target < logits.shape[1]:
        raise UsageError(
            f"There is no class {target}", fix=f"use a class from 0 to {logits.shape[1] - 1}"
        )
    chosen = torch.zeros_like(logits)
    chosen[:, target] = 1
    return values * chosen


def _redistribute(
    layer: nn.Linear | nn.Conv3d, x: Tensor, relevance: Tensor, zero_division: str
) -> Tensor:
    """Relevance of the input ``x`` of one layer, from the relevance of its output."""
    floor = FLOOR if zero_division == "clamp" else 0.0
    x = x.clamp(min=floor)  # before the layer pads: padded voxels stay zero
    weight = layer.weight.clamp(min=floor)
    z = _apply(layer, x, weight)
    if zero_division == "clamp":
        ratio = relevance / z
    else:
        ratio = torch.where(z > 0, relevance / torch.where(z > 0, z, 1.0), 0.0)
    return x * _transpose(layer, ratio, weight, x)


def _apply(layer: nn.Linear | nn.Conv3d, x: Tensor, weight: Tensor) -> Tensor:
    """The layer without its bias, with another weight."""
    if isinstance(layer, nn.Linear):
        return functional.linear(x, weight)
    return functional.conv3d(
        x, weight, None, layer.stride, _padding(layer), layer.dilation, layer.groups
    )


def _transpose(layer: nn.Linear | nn.Conv3d, ratio: Tensor, weight: Tensor, x: Tensor) -> Tensor:
    """The transposed layer: from the shape of the output to that of the input ``x``."""
    if isinstance(layer, nn.Linear):
        return ratio @ weight
    padding = _padding(layer)
    reached = [
        (ratio.shape[2 + i] - 1) * layer.stride[i]
        - 2 * padding[i]
        + layer.dilation[i] * (layer.kernel_size[i] - 1)
        + 1
        for i in range(3)
    ]
    left_over = [x.shape[2 + i] - reached[i] for i in range(3)]
    return functional.conv_transpose3d(
        ratio, weight, None, layer.stride, padding, left_over, layer.groups, layer.dilation
    )


def _padding(layer: nn.Conv3d) -> list[int]:
    """Zero voxels on either side of each axis."""
    if layer.padding_mode != "zeros":
        raise UsageError(
            f"z+ has no rule for padding with '{layer.padding_mode}'", fix="pad with zeros"
        )
    if layer.padding == "valid":
        return [0, 0, 0]
    if layer.padding == "same":
        spans = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        if any(span % 2 for span in spans):
            raise UsageError("z+ has no rule for one-sided padding", fix="use an odd kernel size")
        return [span // 2 for span in spans]
    return [int(padding) for padding in layer.padding]
