"""One step of a forward pass and its way back: dense, convolution, pooling, averaging, reshape."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bids_xai.attribution.layers import Change, Norm, run_pointwise, zero_padding
from bids_xai.runtime.convolution import convolve, convolve_transposed

LAST = torch.channels_last_3d
"""Order of memory in which the processor convolves fastest: two to three times, in float32."""


SLAB = 2**20
"""Numbers that :meth:`Convolution.transpose` has at hand at once; they fit into its cache."""


class Step(ABC):
    """One layer of the chain, or two; ``name`` is its position in the chain and its kind."""

    name: str

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        """The output, and what must be kept of the input to take relevance back."""


@dataclass(frozen=True)
class Pass(Step):
    """Relevance passes unchanged."""

    name: str
    layer: nn.Module

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return run_pointwise(self.layer, x), None  # nothing before it is needed again


@dataclass(frozen=True)
class Reshape(Step):
    """Relevance takes the shape of the input."""

    name: str
    layer: nn.Flatten

    def forward(self, x: Tensor) -> tuple[Tensor, torch.Size]:
        return self.layer(x), x.shape


@dataclass(frozen=True)
class MaxPool(Step):
    """Max-pooling whose relevance goes to the voxel that won (the first one of equals)."""

    name: str
    layer: nn.MaxPool3d

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, torch.Size]]:
        layer = self.layer
        y, winners = functional.max_pool3d(
            x,
            layer.kernel_size,
            layer.stride,
            layer.padding,
            layer.dilation,
            layer.ceil_mode,
            return_indices=True,
        )
        return y, (winners, x.shape)

    def to_winner(self, cache: tuple[Tensor, torch.Size], relevance: Tensor) -> Tensor:
        """Relevance (n, c, x, y, z) of the input; memory in the order of the winners'."""
        winners, shape = cache
        n, channels, *axes = shape
        last = not winners.is_contiguous() and winners.is_contiguous(memory_format=LAST)
        order = (0, 2, 3, 4, 1) if last else (0, 1, 2, 3, 4)
        flat = (n, -1, channels) if last else (n, channels, -1)
        empty = relevance.new_zeros(n, *axes, channels) if last else relevance.new_zeros(shape)
        index, values = winners.permute(order).reshape(flat), relevance.permute(order).reshape(flat)
        full = empty.reshape(flat)  # the same memory
        put = full.scatter_add_ if self._overlaps else full.scatter_
        full = put(1 if last else 2, index, values).reshape(empty.shape)
        return full.permute(0, 4, 1, 2, 3) if last else full

    @property
    def _overlaps(self) -> bool:
        sizes = (self.layer.kernel_size, self.layer.stride)
        kernel, stride = ((size,) * 3 if isinstance(size, int) else size for size in sizes)
        dilated = self.layer.dilation not in (1, (1, 1, 1))
        return dilated or any(k > step for k, step in zip(kernel, stride, strict=True))


class Affine(Step):
    """An affine map, its bias apart: ``apply`` is linear, ``transpose`` its transpose."""

    layer: Any

    @abstractmethod
    def apply(self, x: Tensor, change: Change | None = None) -> Tensor:
        """The map without its bias, every weight passed through ``change``."""

    @abstractmethod
    def transpose(self, s: Tensor, like: Tensor, change: Change | None = None) -> Tensor:
        """The transpose of :meth:`apply`: from the shape of the output to that of ``like``."""

    def bias(self, like: Tensor) -> Tensor | None:
        """The bias, to be broadcast over the output; ``like`` is an input."""
        return None

    def raised(self, x: Tensor, floor: float) -> Tensor:
        """An input with values of at least ``floor``. Without a graph, written over ``x``."""
        return x.clamp(min=floor) if torch.is_grad_enabled() else x.clamp_(min=floor)


@dataclass(frozen=True)
class Weighted(Affine):
    """A dense layer or convolution with the batch norm that follows it."""

    name: str
    layer: Any
    norm: Norm | None
    weight: Tensor
    offset: Tensor | None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.norm is not None and self.norm.training:
            # the batch's own statistics; relevance is still free of them
            return self.norm(self._run(x, _fast(self.layer.weight), self.layer.bias)), x
        return self._run(x, self.weight, self.offset), x

    def apply(self, x: Tensor, change: Change | None = None) -> Tensor:
        return self._run(x, _changed(self.weight, change), None)

    def bias(self, like: Tensor) -> Tensor | None:
        if self.offset is None:
            return None
        return self.offset.reshape(-1, *[1] * (self.weight.ndim - 2))

    @abstractmethod
    def _run(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The layer with another weight and bias."""


@dataclass(frozen=True)
class Dense(Weighted):
    """A dense layer."""

    def _run(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return functional.linear(x, weight, bias)

    def transpose(self, s: Tensor, like: Tensor, change: Change | None = None) -> Tensor:
        return s @ _changed(self.weight, change)


@dataclass(frozen=True)
class Convolution(Weighted):
    """A convolution with zero padding."""

    layer: nn.Conv3d

    def _run(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        layer = self.layer
        return convolve(
            x, weight, bias, layer.stride, zero_padding(layer), layer.dilation, layer.groups
        )

    def transpose(self, s: Tensor, like: Tensor, change: Change | None = None) -> Tensor:
        layer, weight = self.layer, _changed(self.weight, change)
        padding = zero_padding(layer)
        plain = layer.in_channels == 1 and {*layer.stride, *layer.dilation} == {1}
        if plain and not torch.is_grad_enabled() and s.device.type == "cpu":
            return _to_one_channel(s, weight, padding)
        reached = [
            (s.shape[2 + i] - 1) * layer.stride[i]
            - 2 * padding[i]
            + layer.dilation[i] * (layer.kernel_size[i] - 1)
            + 1
            for i in range(3)
        ]
        left_over = [like.shape[2 + i] - reached[i] for i in range(3)]
        return convolve_transposed(
            s, weight, layer.stride, padding, left_over, layer.groups, layer.dilation
        )


@dataclass(frozen=True)
class Averaging(Affine):
    """Average pooling: equal positive weights, no bias."""

    name: str
    layer: nn.Module

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.layer(x), x

    def apply(self, x: Tensor, change: Change | None = None) -> Tensor:
        y: Tensor = self.layer(x)
        return y if change is None else y * change(y.new_ones(()))

    def transpose(self, s: Tensor, like: Tensor, change: Change | None = None) -> Tensor:
        return _transposed(lambda x: self.apply(x, change), s, like)


@dataclass(frozen=True)
class MaxAsAverage(Averaging):
    """Max-pooling forward; relevance as if it were average pooling over the same windows."""

    windows: nn.AvgPool3d

    def apply(self, x: Tensor, change: Change | None = None) -> Tensor:
        y: Tensor = self.windows(x)
        return y if change is None else y * change(y.new_ones(()))


@dataclass(frozen=True)
class Reweighted(Affine):
    """Any other affine layer, by its ``apply_weights``."""

    name: str
    layer: Any

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.layer(x), x

    def apply(self, x: Tensor, change: Change | None = None) -> Tensor:
        y: Tensor = self.layer.apply_weights(x, change or _unchanged, False)
        return y

    def transpose(self, s: Tensor, like: Tensor, change: Change | None = None) -> Tensor:
        return _transposed(lambda x: self.apply(x, change), s, like)

    def bias(self, like: Tensor) -> Tensor | None:
        offset: Tensor = self.layer.apply_weights(torch.zeros_like(like[:1]), _unchanged, True)
        return offset


def _fast(weight: Tensor) -> Tensor:
    """The weight in the order of memory that suits the device; activations follow it."""
    if weight.ndim == 5 and weight.device.type == "cpu" and weight.dtype == torch.float32:
        return weight.to(memory_format=LAST)  # unlike contiguous(), also for one channel
    return weight


def _to_one_channel(s: Tensor, weight: Tensor, padding: list[int]) -> Tensor:
    """Transposed convolution (n, 1, x, y, z) of ``s`` (n, c, x, y, z), stride 1: one sum a tap.

    A slab of planes at a time is multiplied with all taps, and the products are added up shifted.
    Libraries are slow for a single channel, in which the first layer of a network ends.
    """
    (n, channels, *grid), kernel = s.shape, weight.shape[2:]
    taps = weight.reshape(channels, -1).t()
    full = s.new_zeros(n, *(size + k - 1 for size, k in zip(grid, kernel, strict=True)))
    planes = max(1, SLAB // (len(taps) * grid[1] * grid[2]))
    for volume, first in product(range(n), range(0, grid[0], planes)):
        slab = s[volume, :, first : first + planes]
        depth = slab.shape[1]
        by_channel = (
            slab.reshape(channels, -1)
            if slab[0].is_contiguous()
            else (slab.permute(1, 2, 3, 0).reshape(-1, channels).t())
        )
        products = (taps @ by_channel).reshape(*kernel, depth, *grid[1:])
        for i, j, k in product(*map(range, kernel)):
            x, y, z = first + i, j, k
            full[volume, x : x + depth, y : y + grid[1], z : z + grid[2]] += products[i, j, k]
    return full[
        :,
        None,
        *(slice(pad, size - pad) for pad, size in zip(padding, full.shape[1:], strict=True)),
    ]


def _transposed(linear: Callable[[Tensor], Tensor], s: Tensor, like: Tensor) -> Tensor:
    """The transpose of a linear map, by the gradient of the map at zero."""
    create_graph = torch.is_grad_enabled()
    with torch.set_grad_enabled(True):
        probe = torch.zeros_like(like, requires_grad=True)
        (result,) = torch.autograd.grad(linear(probe), probe, s, create_graph=create_graph)
    return result


def _changed(weight: Tensor, change: Change | None) -> Tensor:
    return weight if change is None else change(weight)


def _unchanged(weight: Tensor) -> Tensor:
    return weight
