"""The classifier of Böhle et al. 2019 (``boehle``), which later papers use as well."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import nn

from bids_xai.models.chain import Chain
from bids_xai.models.options import share, whole_numbers
from bids_xai.models.weights import fan_in_uniform, initialise
from bids_xai.runtime.convolution import Conv3d

FILTERS = (8, 16, 32, 64)
POOLS = (2, 3, 2, 3)
N_HIDDEN = 128


class Boehle(Chain):
    """Four blocks [Conv k3, batch norm, ReLU, max-pool], then FC 128, ReLU, FC ``n_classes``.

    Convolutions do not pad, pools of 2, 3, 2, 3 do not overlap: 193 x 229 x 193 voxels arrive as
    4 x 5 x 4, fewer than 78 on an axis do not arrive. Dropout stands before either dense layer.
    Weights and biases are uniform within 1 / sqrt(fan in), as torch draws them; the papers say
    nothing of it.

    filters : of the four convolutions. Eitel and Ritter 2019 print 8, 16, 31, 64, where the other
        papers that use this network print 8, 16, 32, 64
    dropout : probability of either dropout

    Source: Böhle et al. 2019, section 2.2; Eitel and Ritter 2019; Klingenberg et al. 2021.
    """

    name = "boehle"

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int = 2,
        *,
        channels: int = 1,
        seed: int = 0,
        filters: Sequence[int] = FILTERS,
        dropout: float = 0.4,
    ) -> None:
        super().__init__(input_shape, n_classes, channels)
        filters, dropout = whole_numbers("filters", filters, 4), share("dropout", dropout)
        with torch.random.fork_rng(devices=[]):  # constructors draw from the global generator
            blocks = conv_blocks(channels, filters)
            n_features = filters[-1] * prod(self.grid_after(blocks))
            self.layers = nn.Sequential(
                *blocks,
                nn.Flatten(),
                nn.Dropout(dropout),
                nn.Linear(n_features, N_HIDDEN),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(N_HIDDEN, n_classes),
            )
        initialise(self.layers, seed, fan_in_uniform)


def conv_blocks(channels: int, filters: Sequence[int]) -> list[nn.Module]:
    """The four blocks [Conv k3 without padding, batch norm, ReLU, max-pool]."""
    layers: list[nn.Module] = []
    before = channels
    for n, pool in zip(filters, POOLS, strict=True):
        layers += [Conv3d(before, n, 3), nn.BatchNorm3d(n), nn.ReLU(), nn.MaxPool3d(pool)]
        before = n
    return layers
