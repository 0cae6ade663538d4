r"""A network as the list of its steps, each ready to run forward and to take relevance back.

A step is one affine map (convolution, dense layer, patch individual filters, average pooling), a
max-pooling, a change of shape, or something that relevance passes unchanged (activation, dropout).
Batch norm is folded into the affine map right before it, by its running statistics: with
:math:`s = \gamma / \sqrt{\sigma^2 + \epsilon}`, :math:`W' = s W`, :math:`b' = s (b - \mu) + \beta`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional

from bids_xai.errors import UsageError

BATCH_NORM = ("fold", "identity")
MAX_POOL = ("winner", "average")

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

LAST = torch.channels_last_3d
"""Order of memory in which the processor convolves fastest: two to three times, in float32."""

SLAB = 2**20
"""Numbers that :meth:`Convolution.transpose` has at hand at once; they fit into its cache."""

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
        found = dict(model.named_modules()).get(layer)
        for position, leaf in enumerate(leaves):
            if leaf is found:
                return position
    raise UsageError(
        f"The network has no layer {layer}",
        fix=f"give a position from 0 to {len(leaves) - 1}, or the name of one of these layers",
    )


def is_affine(layer: nn.Module) -> bool:
    """Whether a layer has weights of its own that spread relevance (batch norm does not)."""
    return isinstance(layer, nn.Linear | nn.Conv3d | Reweightable)


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

    def to_winner(self, kept: tuple[Tensor, torch.Size], relevance: Tensor) -> Tensor:
        """Relevance (n, c, x, y, z) of the input; memory in the order of the winners'."""
        winners, shape = kept
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
        return functional.conv3d(
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
        return functional.conv_transpose3d(
            s, weight, None, layer.stride, padding, left_over, layer.groups, layer.dilation
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


def build_steps(
    model: nn.Module, method: str, *, batch_norm: str = "fold", max_pool: str = "winner"
) -> list[Step]:
    """The steps of a network, in order.

    method : what needs them, for messages
    batch_norm : ``fold`` into the affine layer right before, or ``identity``: relevance passes it
    max_pool : relevance to the ``winner``, or as in ``average`` pooling
    Raises ``UsageError`` for a layer or a sequence of layers without a rule.
    """
    _check_choice("batch norm policy", batch_norm, BATCH_NORM)
    _check_choice("max-pooling policy", max_pool, MAX_POOL)
    leaves = known_chain(model, method)
    steps: list[Step] = []
    position = 0
    while position < len(leaves):
        leaf, *rest = leaves[position : position + 2]
        after = rest[0] if rest else None
        folds = batch_norm == "fold" and is_affine(leaf)
        norm = after if folds and isinstance(after, Norm) else None
        name = f"{position} {type(leaf).__name__}"
        steps.append(_step(name, leaf, norm, method, batch_norm, max_pool))
        position += 1 if norm is None else 2
    return steps


def _step(
    name: str, layer: nn.Module, norm: Norm | None, method: str, batch_norm: str, max_pool: str
) -> Step:
    """The step of one layer and the batch norm that is folded into it."""
    if isinstance(layer, nn.Linear):
        return Dense(name, layer, norm, *folded(layer, norm))
    if isinstance(layer, nn.Conv3d):
        zero_padding(layer)  # or a reason why there is none
        return Convolution(name, layer, norm, *folded(layer, norm))
    if norm is not None or (isinstance(layer, Norm) and batch_norm == "fold"):
        raise UsageError(
            f"{method} has no rule for batch norm that does not follow a convolution or dense "
            f"layer: {norm or layer}",
            fix="take batch norm as the identity, or choose another network",
        )
    if isinstance(layer, Reweightable):
        return Reweighted(name, layer)
    if isinstance(layer, AVERAGES):
        return Averaging(name, layer)
    if isinstance(layer, nn.MaxPool3d):
        if max_pool == "average":
            return MaxAsAverage(name, layer, _average_windows(layer))
        return MaxPool(name, layer)
    return Reshape(name, layer) if isinstance(layer, nn.Flatten) else Pass(name, layer)


def folded(layer: nn.Linear | nn.Conv3d, norm: Norm | None) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of a layer and the batch norm after it; differentiable in all of them.

    The weight lies in the order of memory that suits the device; activations follow it. Raises
    ``UsageError`` for batch norm without running statistics.
    """
    if norm is None:
        return _fast(layer.weight), layer.bias
    if norm.running_mean is None or norm.running_var is None:
        raise UsageError(
            f"{norm} keeps no running statistics, it cannot be folded",
            fix="take batch norm as the identity",
        )
    scale = (norm.running_var + norm.eps).rsqrt()
    if norm.affine:
        scale = scale * norm.weight
    offset = scale * ((0 if layer.bias is None else layer.bias) - norm.running_mean)
    if norm.affine:
        offset = offset + norm.bias
    return _fast(layer.weight * scale.reshape(-1, *[1] * (layer.weight.ndim - 1))), offset


def _fast(weight: Tensor) -> Tensor:
    """The weight in the order of memory that suits the device; activations follow it."""
    if weight.ndim == 5 and weight.device.type == "cpu" and weight.dtype == torch.float32:
        return weight.to(memory_format=LAST)  # unlike contiguous(), also for one channel
    return weight


def _average_windows(layer: nn.MaxPool3d) -> nn.AvgPool3d:
    """Average pooling over the windows of a max-pooling."""
    if layer.dilation not in (1, (1, 1, 1)):
        raise UsageError(
            f"Average pooling cannot stand for dilated {layer}",
            fix="give relevance of max-pooling to the winner",
        )
    return nn.AvgPool3d(
        layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode, count_include_pad=True
    )


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


def _check_choice(what: str, chosen: str, allowed: tuple[str, ...]) -> None:
    if chosen not in allowed:
        raise UsageError(f"Unknown {what} '{chosen}'", fix=f"use {' or '.join(allowed)}")
