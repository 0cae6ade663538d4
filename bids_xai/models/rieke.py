"""The classifier of Rieke et al. 2018 (``rieke``): the blocks of ``boehle``, three dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import nn

from bids_xai.models.boehle import FILTERS, conv_blocks
from bids_xai.models.chain import Chain
from bids_xai.models.options import share, whole_numbers
from bids_xai.models.weights import fan_in_uniform, initialise

N_HIDDEN = (128, 64)


class Rieke(Chain):
    """The blocks of :class:`~bids_xai.models.boehle.Boehle`, then FC 128, FC 64, FC ``n_classes``.

    One dropout, before the first dense layer; ReLU between dense layers. The paper gives neither
    the size of the pools nor the padding: as in its published code they are 2, 3, 2, 3 and none, so
    an axis needs 78 voxels. Weights and biases are uniform within 1 / sqrt(fan in), as torch draws
    them.

    filters : of the four convolutions; dropout : its probability

    Source: Rieke et al. 2018, section 3.2.
    """

    name = "rieke"

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int = 2,
        *,
        channels: int = 1,
        seed: int = 0,
        filters: Sequence[int] = FILTERS,
        dropout: float = 0.8,
    ) -> None:
        super().__init__(input_shape, n_classes, channels)
        filters, dropout = whole_numbers("filters", filters, 4), share("dropout", dropout)
        first, second = N_HIDDEN
        with torch.random.fork_rng(devices=[]):  # constructors draw from the global generator
            blocks = conv_blocks(channels, filters)
            n_features = filters[-1] * prod(self.grid_after(blocks))
            self.layers = nn.Sequential(
                *blocks,
                nn.Flatten(),
                nn.Dropout(dropout),
                nn.Linear(n_features, first),
                nn.ReLU(),
                nn.Linear(first, second),
                nn.ReLU(),
                nn.Linear(second, n_classes),
            )
        initialise(self.layers, seed, fan_in_uniform)
