r"""The sum of z+ relevance inside a mask, and its gradients, by less work than from the map.

With :math:`s = R_1 / Z_1`, relevance of the first layer's output over what feeds it,

.. math:: \sum_i m_i x_i \sum_j w^+_{ij} s_j = \sum_j s_j \sum_i w^+_{ij} m_i x_i

so that one convolution of the masked input stands for the map, a transposed one, and for the
gradient of it. Relevance is kept layer by layer: its sum over the volume is that over :math:`R_1`.

``_Forward`` and ``_Back`` are two halves of one tape of :class:`ConvolutionLayer`; the dense
layers between them are left to autograd. Inputs are raised *by* 1e-7, not *to* at least 1e-7 as in
:class:`~bids_xai.attribution.rules.ZPlus`: that needs no second convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from bids_xai.attribution.guided.layer import ConvolutionLayer
from bids_xai.attribution.layers import unroll
from bids_xai.attribution.rules import FLOOR
from bids_xai.attribution.steps import LAST
from bids_xai.attribution.zplus import check_not_negative_input


@dataclass(frozen=True)
class MaskedRelevance:
    """Logits, and sums of relevance of every volume.

    logits : (n, classes); inner : (n,) relevance inside the mask, times the scale
    total : (n,) relevance in the whole volume; no graph leads to it
    """

    logits: Tensor
    inner: Tensor
    total: Tensor


def covers(model: nn.Module, volumes: Tensor) -> bool:
    """Whether :func:`masked_relevance` can be had for this network and the device of the volumes.

    The network is a chain of convolutions with a ReLU after each, flattening, and dense layers with
    a ReLU between two of them; the device is the processor.
    """
    return volumes.device.type == "cpu" and volumes.ndim == 5 and _parts(model) is not None


def masked_relevance(
    model: nn.Module, volumes: Tensor, masks: Tensor, scale: float = 1.0
) -> MaskedRelevance:
    """Logits and the sum of z+ relevance (start: the softmax vector) inside a mask.

    Logits and ``inner`` can be trained on, by one backward pass from both. ``inner`` differs by
    less than 1e-5 of the total from the sum over the map of
    :func:`~bids_xai.attribution.zplus.relevance_zplus`.

    model : one that :func:`covers` accepts; volumes : (n, channels, x, y, z), >= 0
    masks : (n, 1, x, y, z), any numbers
    scale : factor of ``inner``; with that of the loss in it, ``inner.sum()`` costs no pass more
    Raises ``NegativeInputError`` for negative or undefined input, ValueError for another network.
    """
    parts = _parts(model)
    if parts is None:
        raise ValueError("masked_relevance needs a chain of convolutions, ReLUs and dense layers")
    check_not_negative_input(volumes)
    layers = [
        ConvolutionLayer(conv.stride, _numbers(conv.padding), first=i == 0)
        for i, conv in enumerate(parts.convolutions)
    ]
    tape = _Tape(layers, masks, scale, keeps=torch.is_grad_enabled())
    weights = [tensor for conv in parts.convolutions for tensor in (conv.weight, conv.bias)]
    features, token = _Forward.apply(tape, volumes, *weights)  # type: ignore[no-untyped-call]
    logits, start = _dense_relevance(parts.dense, features.flatten(1))
    at_features = start.reshape(features.shape)
    inner, total = _Back.apply(tape, at_features, token)  # type: ignore[no-untyped-call]
    return MaskedRelevance(logits, inner, total)


@dataclass
class _Tape:
    """The passes through the convolutions, and what the two functions hand to each other.

    keeps : whether gradients will be asked for
    masked : the masked input, times the scale; relevance : of the first layer's output
    share : d inner / d relevance
    """

    layers: list[ConvolutionLayer]
    masks: Tensor
    scale: float
    keeps: bool
    masked: Tensor = field(init=False)
    relevance: Tensor = field(init=False)
    share: Tensor = field(init=False)

    def forward(self, volumes: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Activation of the last convolution."""
        x = volumes.contiguous(memory_format=LAST)
        for layer, weight, bias in zip(self.layers, weights[::2], weights[1::2], strict=True):
            x = layer.forward(x, weight, bias)
            if not self.keeps:
                layer.release("h")
        return x

    def take_back(self, relevance: Tensor) -> tuple[Tensor, Tensor]:
        """Inner and total relevance (n,) from that of the last output, which it is written over."""
        first, *others = self.layers
        for layer in reversed(others):
            relevance = layer.take_back(relevance, over_input=not self.keeps)
            if not self.keeps:
                layer.release()
        self.masked = torch.add(first.x, FLOOR).mul_(self.masks).mul_(self.scale)
        self.relevance, self.share = relevance, first.masked_share(self.masked)
        total = relevance.sum(dim=(1, 2, 3, 4))
        inside = relevance * self.share if self.keeps else self.share.mul_(relevance)
        return inside.sum(dim=(1, 2, 3, 4)), total

    def backward_of_take_back(self, gradient: Tensor) -> Tensor:
        """Gradient of the relevance that :meth:`take_back` began with, from (n,) of ``inner``."""
        if "share" not in vars(self):
            raise RuntimeError("masked_relevance keeps what one backward pass needs, not two")
        first, *others = self.layers
        relevance, masked, share = self.relevance, self.masked, self.share
        del self.relevance, self.masked, self.share
        if not bool((gradient == 1).all()):
            by_volume = gradient.reshape(-1, 1, 1, 1, 1)
            masked.mul_(by_volume)
            share.mul_(by_volume)
        first.backward_of_masked_share(relevance, masked, share)
        for layer in others:
            share = layer.backward_of_take_back(share)
        return share

    def backward_of_forward(self, gradient: Tensor) -> list[Tensor]:
        """Gradients of all weights and biases from that of the last activation, which is lost."""
        if "share" in vars(self):  # nobody asked for the gradient of ``inner``
            self.backward_of_take_back(gradient.new_zeros(len(gradient)))
        gradients: list[Tensor] = []
        for layer in reversed(self.layers):
            g_x, g_weight, g_bias = layer.backward_of_forward(gradient)
            layer.release()
            gradients = [g_weight, g_bias, *gradients]
            gradient = gradient if g_x is None else g_x
        return gradients


class _Forward(torch.autograd.Function):
    """Through the convolutions; the second output tells autograd that ``_Back`` depends on it.

    Outputs are detached from the tape: a tape that held them would hold itself by way of the graph.
    """

    @staticmethod
    def forward(ctx: Any, tape: _Tape, volumes: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        ctx.tape = tape
        features = tape.forward(volumes, weights)
        return features.detach(), features.new_zeros(())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *ctx.tape.backward_of_forward(gradient.clone(memory_format=LAST))


class _Back(torch.autograd.Function):
    """Relevance from the last convolution's output into the masked input."""

    @staticmethod
    def forward(ctx: Any, tape: _Tape, relevance: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        ctx.tape = tape
        inner, total = tape.take_back(relevance.detach().clone(memory_format=LAST))
        ctx.mark_non_differentiable(total)
        return inner, total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[None, Tensor, Tensor]:
        return None, ctx.tape.backward_of_take_back(gradient), gradient.new_zeros(())


@dataclass(frozen=True)
class _Parts:
    convolutions: tuple[nn.Conv3d, ...]
    dense: tuple[nn.Module, ...]


def _parts(model: nn.Module) -> _Parts | None:
    """The convolutions and what follows the flattening; None for any other chain."""
    leaves = unroll(model)
    flat = next((i for i, leaf in enumerate(leaves) if isinstance(leaf, nn.Flatten)), 0)
    blocks, dense = leaves[:flat], leaves[flat + 1 :]
    if not flat or flat % 2 or not len(dense) % 2 or leaves[flat].start_dim != 1:
        return None
    if not all(map(_is_plain, blocks[::2])):
        return None
    if not all(isinstance(leaf, nn.Linear) for leaf in dense[::2]):
        return None
    if not all(isinstance(leaf, nn.ReLU) for leaf in (*blocks[1::2], *dense[1::2])):
        return None
    return _Parts(cast("tuple[nn.Conv3d, ...]", tuple(blocks[::2])), tuple(dense))


def _is_plain(layer: nn.Module) -> bool:
    """Whether a layer is a convolution with a bias, of which every output sees a voxel."""
    return (
        isinstance(layer, nn.Conv3d)
        and layer.groups == 1
        and layer.bias is not None
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
        and {*layer.dilation} == {1}
        and all(pad < k for pad, k in zip(layer.padding, layer.kernel_size, strict=True))
    )


def _numbers(padding: object) -> tuple[int, ...]:
    return cast("tuple[int, ...]", padding)  # a word is nothing that _is_plain accepts


def _dense_relevance(layers: Sequence[nn.Module], x: Tensor) -> tuple[Tensor, Tensor]:
    """Logits, and the relevance of ``x`` (n, features) of their softmax vector."""
    raised: list[tuple[Tensor, Tensor]] = []
    for layer in layers:
        if isinstance(layer, nn.Linear):
            raised.append((x.clamp(min=FLOOR), layer.weight.clamp(min=FLOOR)))
        x = layer(x)
    relevance = x.softmax(dim=1)
    for inputs, weight in reversed(raised):
        relevance = inputs * ((relevance / functional.linear(inputs, weight)) @ weight)
    return x, relevance
