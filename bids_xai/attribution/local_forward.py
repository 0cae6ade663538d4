"""The output of a network whose input changed within a box, without running all of it again.

A convolution or pooling only carries a change as far as its window reaches. So the layers of a
chain up to the first that sees everything (flattening, global pooling, patch individual filters)
are run on the part of the feature maps that can change, padded with what lies around it in the
feature maps of the unchanged input; the rest is run as usual.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from bids_xai.attribution.chain import folded
from bids_xai.attribution.layers import (
    ACTIVATIONS,
    DROPOUTS,
    Norm,
    run_layers,
    run_pointwise,
    unroll,
    zero_padding,
)
from bids_xai.runtime.convolution import convolve

Box = tuple[tuple[int, int], ...]
"""First voxel, and the one after the last, on each of the three axes."""

_POINTWISE = (nn.Identity, nn.BatchNorm3d, *ACTIVATIONS, *DROPOUTS)


def box_slices(box: Box) -> tuple[slice, ...]:
    """The box in an array (n, channels, x, y, z)."""
    return (slice(None), slice(None), *(slice(first, end) for first, end in box))


class LocalForward:
    """A network in evaluation mode run once on ``volumes``, to be run again where they change.

    model : a chain of layers; any other module is run as a whole
    volumes : (n, channels, x, y, z)
    ``logits`` are those of the unchanged input. Keeps the input of every local layer.
    """

    def __init__(self, model: nn.Module, volumes: Tensor) -> None:
        self.blocks, self.rest = local_blocks(model)
        self.inputs: list[Tensor] = []
        self.features = volumes
        for block in self.blocks:
            self.inputs.append(self.features)
            self.features = block(self.features)
        self.logits = run_layers(self.rest, self.features)

    def logits_with(self, patches: Sequence[tuple[Box, Tensor]]) -> Tensor:
        """Logits (patches, n, classes), one patch (n, channels, *box) at a time in its box."""
        changed = torch.cat([self._features_with(box, patch) for box, patch in patches])
        logits = run_layers(self.rest, changed)
        return logits.reshape(len(patches), -1, logits.shape[1])

    def _features_with(self, box: Box, patch: Tensor) -> Tensor:
        """All of the last local feature maps."""
        for block, before in zip(self.blocks, self.inputs, strict=True):
            outputs = block.reach(box, before.shape[2:])
            if any(end <= first for first, end in outputs):
                return self.features  # pooling cut the change off
            patch = block(self._pasted(block, before, box, patch, outputs), padded=True)
            box = outputs
        features = self.features.clone()
        features[box_slices(box)] = patch
        return features

    @staticmethod
    def _pasted(
        block: WindowBlock, before: Tensor, box: Box, patch: Tensor, outputs: Box
    ) -> Tensor:
        """What the block must see to give ``outputs``: the patch, its surroundings, padding."""
        needed = block.sees(outputs)
        inside = tuple(
            (max(first, 0), min(end, n))
            for (first, end), n in zip(needed, before.shape[2:], strict=True)
        )
        seen = before[box_slices(inside)].clone()
        ends = [
            (max(first, low), min(end, high))
            for (first, end), (low, high) in zip(box, inside, strict=True)
        ]
        to = tuple((a - low, b - low) for (a, b), (low, _) in zip(ends, inside, strict=True))
        of = tuple((a - first, b - first) for (a, b), (first, _) in zip(ends, box, strict=True))
        seen[box_slices(to)] = patch[box_slices(of)]
        missing = [
            width
            for (first, end), (low, high) in zip(reversed(needed), reversed(inside), strict=True)
            for width in (low - first, end - high)
        ]
        return functional.pad(seen, missing, value=block.padding_value) if any(missing) else seen


@dataclass(frozen=True)
class WindowBlock:
    """A convolution (with its batch norm) or pooling, and the pointwise layers after it."""

    window: nn.Conv3d | nn.MaxPool3d | nn.AvgPool3d
    weight: Tensor | None
    bias: Tensor | None
    pointwise: tuple[nn.Module, ...]
    size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    @property
    def padding_value(self) -> float:
        return float("-inf") if isinstance(self.window, nn.MaxPool3d) else 0.0

    def __call__(self, x: Tensor, *, padded: bool = False) -> Tensor:
        """The block's output; ``padded`` input is not padded again."""
        y = self._run(x, (0, 0, 0) if padded else self.padding)
        for layer in self.pointwise:
            y = run_pointwise(layer, y)
        return y

    def _run(self, x: Tensor, padding: tuple[int, ...]) -> Tensor:
        window = self.window
        if isinstance(window, nn.MaxPool3d):
            return functional.max_pool3d(x, self.size, self.stride, padding, self.dilation)
        if isinstance(window, nn.AvgPool3d):
            return functional.avg_pool3d(
                x, self.size, self.stride, padding, divisor_override=window.divisor_override
            )
        if self.weight is None:
            raise TypeError("a convolution has a weight")
        return convolve(
            x, self.weight, self.bias, self.stride, padding, self.dilation, window.groups
        )

    def reach(self, box: Box, shape: Sequence[int]) -> Box:
        """The outputs that an input in the box takes part in."""
        return tuple(
            (
                max(0, -(-(first + pad - span) // step)),
                min((n + 2 * pad - span - 1) // step + 1, (end - 1 + pad) // step + 1),
            )
            for (first, end), n, step, pad, span in zip(
                box, shape, self.stride, self.padding, self.spans, strict=True
            )
        )

    def sees(self, outputs: Box) -> Box:
        """The inputs, padding included, that take part in the outputs."""
        return tuple(
            (first * step - pad, (end - 1) * step - pad + span + 1)
            for (first, end), step, pad, span in zip(
                outputs, self.stride, self.padding, self.spans, strict=True
            )
        )

    @property
    def spans(self) -> list[int]:
        """Voxels from the first to the last one of a window, on each axis."""
        return [d * (k - 1) for d, k in zip(self.dilation, self.size, strict=True)]


def local_blocks(model: nn.Module) -> tuple[list[WindowBlock], list[nn.Module]]:
    """Local blocks at the beginning of a chain, and the layers after them."""
    leaves = unroll(model)
    blocks: list[WindowBlock] = []
    position = 0
    while position < len(leaves):
        end = position + 1
        while end < len(leaves) and isinstance(leaves[end], _POINTWISE):
            end += 1
        block = _block(leaves[position], leaves[position + 1 : end])
        if block is None:
            break
        blocks.append(block)
        position = end
    return blocks, leaves[position:]


def _block(layer: nn.Module, after: list[nn.Module]) -> WindowBlock | None:
    """The block of a layer with a window whose reach we know; None for any other layer."""
    if isinstance(layer, nn.Conv3d) and layer.padding_mode == "zeros":
        folds = after and isinstance(after[0], Norm) and after[0].running_mean is not None
        norm = after.pop(0) if folds else None
        weight, bias = folded(layer, norm if isinstance(norm, Norm) else None)
        return WindowBlock(
            layer,
            weight,
            bias,
            tuple(after),
            layer.kernel_size,
            layer.stride,
            tuple(zero_padding(layer)),
            layer.dilation,
        )
    if isinstance(layer, nn.MaxPool3d | nn.AvgPool3d) and not layer.ceil_mode:
        padding = _three(layer.padding)
        if isinstance(layer, nn.AvgPool3d) and any(padding) and not layer.count_include_pad:
            return None
        dilation = _three(layer.dilation) if isinstance(layer, nn.MaxPool3d) else (1, 1, 1)
        size, stride = _three(layer.kernel_size), _three(layer.stride)
        return WindowBlock(layer, None, None, tuple(after), size, stride, padding, dilation)
    return None


def _three(given: int | tuple[int, ...]) -> tuple[int, ...]:
    return (given,) * 3 if isinstance(given, int) else tuple(given)
