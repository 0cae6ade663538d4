"""The output of a network whose input changes step by step, without running all of it again.

See :mod:`bids_xai.attribution.local_forward` for how far a change reaches.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import takewhile
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional

from bids_xai.attribution.layers import run_layers
from bids_xai.attribution.local_forward import WindowBlock, local_blocks

SHARE = 0.5
"""Of a layer's output: where the windows of a step hold more voxels, all of it is run instead."""


AT_ONCE = 2**18
"""Voxels of whole feature maps that are run together; larger batches leave the cache."""


class SteppedForward:
    """A network in evaluation mode, run once on a volume of which copies are changed later.

    model : a chain of layers; any other module is run as a whole
    volume : (1, channels, x, y, z); edge : of the largest box that changes, in voxels
    ``logits`` (1, n_classes) are those of the unchanged volume. Keeps the inputs of the layers that
    only carry a change as far as their windows reach.
    """

    def __init__(self, model: nn.Module, volume: Tensor, edge: Sequence[int]) -> None:
        self.blocks, self.last = local_blocks(model)
        self.windows: list[_Windows] = []
        self.inputs = [volume]
        size = tuple(edge)
        for block in self.blocks:
            windows = _Windows(block, size, self.inputs[-1].shape[2:], volume.device)
            self.windows.append(windows)
            self.inputs.append(block(self.inputs[-1]))
            size = windows.size
        self.logits = run_layers(self.last, self.inputs[-1])

    def copies(self, n: int, boxes: int) -> SteppedCopies:
        """Return copies of the volume, in each of which at most so many boxes change a step."""
        return SteppedCopies(self, n, boxes)


class SteppedCopies:
    """Copies of a volume in which boxes change step by step; a change stays.

    Layer after layer, windows of one size around the boxes are run anew, as long as they hold less
    than :data:`SHARE` of the layer's output; all of the layers behind is run. Keeps the inputs of
    the layers that run in windows, and of the first behind, of every copy.
    """

    def __init__(self, forward: SteppedForward, n: int, boxes: int) -> None:
        self._forward = forward
        self._running = list(takewhile(lambda windows: windows.pays(boxes), forward.windows))
        inputs = zip(self._running, forward.inputs, strict=False)
        behind = forward.inputs[len(self._running)]
        unchanged = [*(windows.padded(features) for windows, features in inputs), behind]
        self._maps = [_by_voxel(features).repeat(n, 1, 1, 1, 1) for features in unchanged]

    def change(self, copies: Tensor, boxes: Tensor, volumes: Tensor) -> Tensor:
        """Replace boxes by those of other volumes, and return the logits of all copies.

        copies : (boxes,) number of the copy in which a box changes; boxes : (boxes, 3, 2), first
            voxel and the one after the last; volumes : (n, channels, x, y, z)
        Returns (n, n_classes). Where windows overlap, the values of the last one stay.
        """
        if len(boxes):
            self._replace(copies, boxes, _by_voxel(volumes))
        behind = self._maps[-1].permute(0, 4, 1, 2, 3)
        at_once = max(1, AT_ONCE // behind[0, 0].numel())
        return torch.cat([self._end(features) for features in torch.split(behind, at_once)])

    def _end(self, features: Tensor) -> Tensor:
        for block in self._forward.blocks[len(self._running) :]:
            features = block(features)
        return run_layers(self._forward.last, features)

    def _replace(self, copies: Tensor, boxes: Tensor, volumes: Tensor) -> None:
        first, sizes = boxes[:, :, 0], boxes[:, :, 1] - boxes[:, :, 0]
        size = tuple(sizes.amax(dim=0).tolist())
        inside = (_cube(size).to(sizes.device) < sizes[:, None]).all(dim=2).flatten()
        values = _rows(volumes).index_select(0, _voxels(volumes, copies, first, size)[inside])
        for number, maps in enumerate(self._maps):
            windows = self._running[number] if number < len(self._running) else None
            begin = first if windows is None else first + windows.padding
            rows = _voxels(maps, copies, begin, size)
            # smaller boxes end at the end of the volume: what lies outside is left out
            _rows(maps).index_copy_(0, rows[inside] if number == 0 else rows, values)
            if windows is not None:
                first, size = windows.first_outputs(first), windows.size
                values = windows.run(maps, copies, first)


class _Windows:
    """Where a block runs around boxes of its input.

    edge : of the largest box; shape : of the input, in voxels
    ``grid`` is the shape of the output, ``size`` that of a window of it, wherever the box lies.
    """

    def __init__(
        self, block: WindowBlock, edge: Sequence[int], shape: Sequence[int], device: torch.device
    ) -> None:
        self.block = block
        whole = block.reach(tuple((0, n) for n in shape), shape)
        self.grid = tuple(end for _, end in whole)
        reached = zip(edge, block.spans, block.stride, self.grid, strict=True)
        self.size = tuple(min(n, (a - 1 + span) // step + 1) for a, span, step, n in reached)
        seen = zip(self.size, block.stride, block.spans, strict=True)
        self._seen = tuple((a - 1) * step + span + 1 for a, step, span in seen)
        self.padding, self._step, self._spans, ends, sizes = (
            torch.tensor(numbers, device=device)
            for numbers in (block.padding, block.stride, block.spans, self.grid, self.size)
        )
        self._last = ends - sizes

    def pays(self, boxes: int) -> bool:
        """Whether windows around so many boxes are less work than all of the output."""
        return boxes * prod(self.size) <= SHARE * prod(self.grid)

    def padded(self, x: Tensor) -> Tensor:
        """Feature maps (n, channels, x, y, z) with the block's padding around them."""
        widths = [width for pad in reversed(self.block.padding) for width in (pad, pad)]
        return functional.pad(x, widths, value=self.block.padding_value)

    def first_outputs(self, first: Tensor) -> Tensor:
        """First voxels (boxes, 3) of the windows that hold all that boxes beginning there reach."""
        seen_from = first + self.padding - self._spans
        steps: Tensor = (seen_from + self._step - 1).clamp(min=0) // self._step
        return torch.minimum(steps, self._last)

    def run(self, maps: Tensor, copies: Tensor, first: Tensor) -> Tensor:
        """Outputs (boxes * voxels, channels) of all windows, from padded maps by voxel."""
        rows = _voxels(maps, copies, first * self._step, self._seen)
        seen = _rows(maps).index_select(0, rows).reshape(len(first), *self._seen, -1)
        return _rows(_by_voxel(self.block(seen.permute(0, 4, 1, 2, 3), padded=True)))


def _by_voxel(maps: Tensor) -> Tensor:
    """Feature maps (n, channels, x, y, z) as (n, x, y, z, channels)."""
    return maps.permute(0, 2, 3, 4, 1).contiguous()


def _rows(maps: Tensor) -> Tensor:
    """Maps by voxel as a view (voxels, channels)."""
    return maps.view(-1, maps.shape[-1])


def _voxels(maps: Tensor, copies: Tensor, first: Tensor, size: tuple[int, ...]) -> Tensor:
    """Rows (boxes * voxels,) of boxes of one size, which begin at ``first`` (boxes, 3)."""
    _, x, y, z, _ = maps.shape
    begin = ((copies * x + first[:, 0]) * y + first[:, 1]) * z + first[:, 2]
    return (begin[:, None] + _row_offsets(size, y, z).to(maps.device)).flatten()


@lru_cache(maxsize=64)
def _row_offsets(size: tuple[int, ...], y: int, z: int) -> Tensor:
    """Rows (voxels,) of a box that begins at row 0 of maps with axes of y and z voxels."""
    return (_cube(size) * torch.tensor([y * z, z, 1])).sum(dim=1)


@lru_cache(maxsize=64)
def _cube(size: tuple[int, ...]) -> Tensor:
    """The voxels (voxels, 3) of a box that begins at 0, in the order of memory."""
    return torch.cartesian_prod(*(torch.arange(n) for n in size)).reshape(-1, 3)
