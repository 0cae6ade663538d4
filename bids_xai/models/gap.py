"""Networks that end in global average pooling (``gap3``, ``gap6``, ``gap``): what CAM needs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from bids_xai.models.chain import Chain
from bids_xai.models.options import whole_number
from bids_xai.models.weights import glorot_uniform, initialise
from bids_xai.runtime.convolution import Conv3d

N_DOUBLINGS = 3


class Gap(Chain):
    """``n_blocks`` times [Conv k3, ReLU, max-pool 2], global average pooling, one dense layer.

    The thesis tells neither filters nor padding. Here the first block has ``width`` filters and
    every further one twice as many, up to eight times ``width``; convolutions pad one zero voxel
    on each side, since six blocks without padding would leave nothing of its 128 x 128 x 128
    voxels. Pools drop an odd voxel: an axis needs 2 ** n_blocks voxels. Weights are
    Glorot-uniform, biases zero.

    n_blocks : number of blocks; width : filters of the first one

    Source: the thesis on CAM and LRP in 3-D, table 4 (3 and 6 blocks).
    """

    name = "gap"

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int = 2,
        *,
        channels: int = 1,
        seed: int = 0,
        n_blocks: int = 3,
        width: int = 8,
    ) -> None:
        super().__init__(input_shape, n_classes, channels)
        whole_number("n_blocks", n_blocks)
        whole_number("width", width)
        filters = [width * 2 ** min(block, N_DOUBLINGS) for block in range(n_blocks)]
        with torch.random.fork_rng(devices=[]):  # constructors draw from the global generator
            blocks = _blocks(channels, filters)
            self.grid_after(blocks)
            self.layers = nn.Sequential(
                *blocks, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(filters[-1], n_classes)
            )
        initialise(self.layers, seed, glorot_uniform)


class Gap3(Gap):
    """:class:`Gap` with three blocks."""

    name = "gap3"

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int = 2,
        *,
        channels: int = 1,
        seed: int = 0,
        width: int = 8,
    ) -> None:
        super().__init__(
            input_shape, n_classes, channels=channels, seed=seed, n_blocks=3, width=width
        )


class Gap6(Gap):
    """:class:`Gap` with six blocks."""

    name = "gap6"

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int = 2,
        *,
        channels: int = 1,
        seed: int = 0,
        width: int = 8,
    ) -> None:
        super().__init__(
            input_shape, n_classes, channels=channels, seed=seed, n_blocks=6, width=width
        )


def _blocks(channels: int, filters: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    before = channels
    for n in filters:
        layers += [Conv3d(before, n, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2)]
        before = n
    return layers
