r"""One convolution and its ReLU in a guided step: four passes, each with what the next one needs.

With :math:`s = R / Z` and :math:`W^+ = \max(W, 10^{-7})`:

1. ``forward``: activation, and :math:`Z = (x + 10^{-7}) * W^+`, from one convolution
2. ``take_back``: relevance of the input, :math:`(x + 10^{-7}) \odot (W^{+T} * s)`
3. ``backward_of_take_back``: from its gradient to that of the output's relevance
4. ``backward_of_forward``: gradients of input, weight and bias, those by way of relevance included

Passes 3 and 4 are the gradients of 2 and 1, written out by hand: autograd would keep more, compute
more and add up whole grids more often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from bids_xai.attribution.rules import FLOOR
from bids_xai.attribution.steps import LAST
from bids_xai.runtime.convolution import convolve, convolve_transposed

_convolution_backward = torch.ops.aten.convolution_backward
_relu_backward = torch.ops.aten.threshold_backward.grad_input


@dataclass
class ConvolutionLayer:
    """A convolution with the ReLU after it, and what the passes hand to each other.

    first : whether it is the first layer, of whose input no gradient is asked for
    x : its input; h : its activation, (n, c, x, y, z); z : minus Z, of that shape
    both : (2 c, c_in, kernel), the weights, and below them the positive ones
    quotient : minus R / Z; below : FLOOR times what the quotients bring to the input's grid, so
        that one pass over it gives the relevance, ``below + x * below / FLOOR``
    g_below : gradient of the relevance of the input; g_z : of Z
    g_raised : gradient of the positive weights on the way back
    """

    stride: Sequence[int]
    padding: Sequence[int]
    first: bool = False
    x: Tensor = field(init=False)
    h: Tensor = field(init=False)
    z: Tensor = field(init=False)
    both: Tensor = field(init=False)
    quotient: Tensor = field(init=False)
    below: Tensor = field(init=False)
    g_below: Tensor = field(init=False)
    g_z: Tensor = field(init=False)
    g_raised: Tensor = field(init=False)

    @property
    def n_filters(self) -> int:
        """Number of filters."""
        return len(self.both) // 2

    @property
    def minus_raised(self) -> Tensor:
        """Minus the positive weights: what turns minus R / Z into relevance."""
        return (-self.both[self.n_filters :]).to(memory_format=LAST)

    @property
    def _scaled(self) -> Tensor:
        """The positive weights times minus FLOOR."""
        return (self.both[self.n_filters :] * -FLOOR).to(memory_format=LAST)

    def release(self, *names: str) -> None:
        """Let go of some that the passes keep, or of all: then none can be taken again."""
        for name in names or ("x", "h", "z", "quotient", "below", "g_below", "g_z", "g_raised"):
            self.__dict__.pop(name, None)

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Activation of ``x``; Z comes from the same convolution.

        In float32 the eight filters of ``graz`` alone fill half of a processor's vector.
        """
        n, raised = len(weight), weight.clamp(min=FLOOR)
        self.x, self.both = x, torch.cat([weight, raised]).to(memory_format=LAST)
        of_floor, how = self._of_floor(raised), (self.stride, self.padding)
        if self._is_thin:
            self.h = convolve(x, weight, bias, *how).clamp_(min=0)
            self.z = convolve(x, self.minus_raised, None, *how).add_(of_floor)
            return self.h
        y = convolve(x, self.both, torch.cat([bias, torch.zeros_like(bias)]), *how)
        self.h = y[:, :n].clamp(min=0)
        self.z = torch.sub(of_floor, y[:, n:], out=torch.empty_like(self.h))
        return self.h

    def masked_share(self, masked: Tensor) -> Tensor:
        """How much of the output's relevance an input takes that is ``masked``: (n, c, x, y, z)."""
        return convolve(masked, self.minus_raised, None, self.stride, self.padding).div_(self.z)

    def take_back(self, relevance: Tensor, *, over_input: bool = False) -> Tensor:
        """Relevance of the input from that of the output, which it is written over.

        over_input : the result is written over the input
        """
        self.quotient = relevance.div_(self.z)
        self.below = convolve_transposed(
            self.quotient, self._scaled, self.stride, self.padding, self._left_over
        )
        out = self.x if over_input else None
        return torch.addcmul(self.below, self.x, self.below, value=1 / FLOOR, out=out)

    def backward_of_take_back(self, gradient: Tensor) -> Tensor:
        """Gradient of the relevance of the output from that of the input's."""
        self.g_below = gradient
        g_below = torch.addcmul(gradient, self.x, gradient, value=1 / FLOOR)
        g_quotient, g_scaled, _ = _convolution_backward(
            *(g_below, self.quotient, self._scaled, None, self.stride, self.padding),
            *([1, 1, 1], True, self._left_over, 1, [True, True, False]),
        )
        self.g_raised = g_scaled.mul_(-FLOOR)
        g_relevance: Tensor = g_quotient.div_(self.z)
        self.begin_gradients(g_relevance)
        return g_relevance

    def backward_of_masked_share(self, relevance: Tensor, masked: Tensor, share: Tensor) -> None:
        """Take in the gradients of ``sum(relevance * masked_share(masked))``.

        relevance : is written over
        share : what :meth:`masked_share` gave for ``masked``, the gradient of the relevance
        """
        self.quotient = relevance.div_(self.z)
        _, self.g_raised, _ = _convolution_backward(
            *(self.quotient, masked.neg(), self.minus_raised, None, self.stride, self.padding),
            *([1, 1, 1], False, [0, 0, 0], 1, [False, True, False]),
        )
        self.begin_gradients(share)

    def begin_gradients(self, g_relevance: Tensor) -> None:
        """Take in the gradient of Z, ``- g R / Z^2``."""
        self.g_z = self.quotient.mul_(g_relevance)
        del self.quotient

    def backward_of_forward(self, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        """Gradients of input (None for the first layer), weight and bias.

        gradient : of the activation; is written over
        """
        n = self.n_filters
        g_h, g_z = _relu_backward(gradient, self.h, 0.0, grad_input=gradient), self.g_z
        if self._is_thin:
            g_x, g_weight, g_bias = self._gradients(g_h, self.both[:n])
            _, g_raised, _ = self._gradients(g_z, self.both[n:])
        else:
            g_x, g_both, g_biases = self._gradients(torch.cat([g_h, g_z], dim=1), self.both)
            g_weight, g_raised, g_bias = g_both[:n], g_both[n:], g_biases[:n]
        g_raised = g_raised + self.g_raised
        g_raised += self._floor_gradient()[:, None]
        g_weight = g_weight + g_raised * (self.both[:n] >= FLOOR)
        if g_x is not None:
            g_x.addcmul_(self.g_below, self.below, value=1 / FLOOR)
        return g_x, g_weight, g_bias

    def _gradients(self, gradient: Tensor, weight: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        """Gradients of input, weight and bias of one convolution."""
        g_x, g_weight, g_bias = _convolution_backward(
            *(gradient, self.x, weight, [len(weight)], self.stride, self.padding),
            *([1, 1, 1], False, [0, 0, 0], 1, [not self.first, True, True]),
        )
        return g_x, g_weight, g_bias

    @property
    def _is_thin(self) -> bool:
        """Whether to write the outputs is all the work, so that one convolution saves none."""
        return self.first and self.x.shape[1] == 1

    def _of_floor(self, raised: Tensor) -> Tensor:
        """What an input of minus FLOOR everywhere, zero in the padding, gives: (c, x, y, z).

        Channels last in memory, as all else: the last product gives them so.
        """
        by_x, by_y, by_z = self._taps(raised)
        plane = torch.einsum("oijk,kz,jy->iyzo", raised.sum(1), by_z, by_y)
        grid = (by_x.t() * -FLOOR) @ plane.flatten(1)
        return grid.reshape(-1, *plane.shape[1:]).permute(3, 0, 1, 2)

    def _floor_gradient(self) -> Tensor:
        """Gradient (c, kernel) of the positive weights by way of the raised input."""
        by_x, by_y, by_z = self._taps(self.g_z)
        grid = self.g_z.permute(0, 2, 3, 4, 1)  # as it lies in memory
        plane = (by_x @ grid.flatten(2)).sum(0).reshape(-1, *grid.shape[2:])
        return torch.einsum("iyzo,jy,kz->oijk", plane, by_y, by_z) * FLOOR

    def _taps(self, like: Tensor) -> list[Tensor]:
        """For each axis (kernel, outputs): 1 where a tap of the kernel meets a voxel, else 0."""
        sizes = zip(self.x.shape[2:], self.both.shape[2:], self.stride, self.padding, strict=True)
        result = []
        for n, kernel, step, pad in sizes:
            starts = torch.arange(0, n + 2 * pad - kernel + 1, step) - pad
            position = torch.arange(kernel)[:, None] + starts
            result.append(((position >= 0) & (position < n)).to(like.dtype))
        return result

    @property
    def _left_over(self) -> list[int]:
        """Planes of the input's grid that the transposed convolution does not reach by itself."""
        grids = zip(self.x.shape[2:], self.z.shape[2:], self.both.shape[2:], strict=True)
        sizes = zip(grids, self.stride, self.padding, strict=True)
        return [size - ((n - 1) * step - 2 * pad + k) for (size, n, k), step, pad in sizes]
