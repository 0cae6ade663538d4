"""Convolutions of a single volume by the fast kernel of the processor.

On the CPU torch hands a single volume with few channels to its own kernel and not to oneDNN, which
takes a third of the time: one volume then takes longer than two. :func:`convolve` calls oneDNN by
name there, :class:`Conv3d` is the layer that does so. Wherever else, and where torch was built
without oneDNN, both are torch's. Values agree to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

SMALL = 20480
"""Up to so many channels times planes times rows torch leaves oneDNN out, for a single volume."""

_LAST = torch.channels_last_3d


class Conv3d(nn.Conv3d):
    """``nn.Conv3d``, by :func:`convolve`: equal to it in names of weights, and to rounding."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.padding_mode != "zeros" or isinstance(self.padding, str):
            result: Tensor = super()._conv_forward(input, weight, bias)  # type: ignore[no-untyped-call]
            return result
        padding = cast("Sequence[int]", self.padding)
        return convolve(input, weight, bias, self.stride, padding, self.dilation, self.groups)


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1, 1, 1),
    padding: Sequence[int] = (0, 0, 0),
    dilation: Sequence[int] = (1, 1, 1),
    groups: int = 1,
) -> Tensor:
    """``functional.conv3d`` of ``x`` (n, c, x, y, z); one number for each axis.

    Without a graph, channels of the result lie last in memory where oneDNN is faster so, and what
    follows keeps to that order. With one, the order is that of input and weight.
    """
    if not torch.is_grad_enabled() and _takes_one_dnn(x, weight):
        weight = weight.to(memory_format=_LAST)
    if _is_slow(x, weight):
        result: Tensor = torch.mkldnn_convolution(
            x, weight, bias, padding, stride, dilation, groups
        )
        return result
    return functional.conv3d(x, weight, bias, (*stride,), (*padding,), (*dilation,), groups)


def convolve_transposed(
    x: Tensor,
    weight: Tensor,
    stride: Sequence[int] = (1, 1, 1),
    padding: Sequence[int] = (0, 0, 0),
    left_over: Sequence[int] = (0, 0, 0),
    groups: int = 1,
    dilation: Sequence[int] = (1, 1, 1),
) -> Tensor:
    """``functional.conv_transpose3d`` of ``x`` (n, c, x, y, z) without a bias.

    oneDNN cannot be called by name here: the single volume goes in twice, and torch then chooses
    it by itself.
    """
    twice = _is_slow(x, weight) and not torch.is_grad_enabled()
    y = functional.conv_transpose3d(
        x.expand(2, -1, -1, -1, -1) if twice else x,
        weight,
        None,
        (*stride,),
        (*padding,),
        (*left_over,),
        groups,
        (*dilation,),
    )
    return y[:1] if twice else y


def _is_slow(x: Tensor, weight: Tensor) -> bool:
    """Whether torch takes its own kernel though there is a faster one."""
    small = x.ndim == 5 and len(x) == 1 and x[0, ..., 0].numel() <= SMALL
    return small and weight[0, 0].numel() > 1 and _takes_one_dnn(x, weight)


def _takes_one_dnn(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN can be had for such numbers, and nobody has switched it off."""
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and hasattr(torch, "mkldnn_convolution")
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and bool(torch.backends.mkldnn.enabled)
    )
