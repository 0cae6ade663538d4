"""The classifier of Eitel et al. 2019 (``sixtyfour``): 64 filters in each of four convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import nn

from bids_xai.models.chain import Chain
from bids_xai.models.options import share
from bids_xai.models.weights import glorot_uniform, initialise
from bids_xai.runtime.convolution import Conv3d

N_FILTERS = 64
POOLED = (True, True, False, True)
L2 = 0.01


class SixtyFour(Chain):
    """Four [Conv 64 k3, ELU], three of them with max-pool 3 and dropout, then one dense layer.

    Pool and dropout follow the 1st, 2nd and 4th. Convolutions do not pad: 96 x 114 x 96 voxels
    arrive as 1 x 2 x 1, fewer than 71 on an axis do not arrive. The paper ends in one sigmoid
    unit; here there is one logit a class, which for two classes says the same (softmax of two
    logits is the sigmoid of their difference) and suits every method of attribution alike. Its
    text speaks of four pools but places three. Weights are Glorot-uniform, biases zero: what its
    library, Keras, does.

    ``l2`` names the 3rd and 4th convolution: training adds 0.01 times the sum of their squared
    weights, biases not counted, to the loss.

    dropout : probability of every dropout

    Source: Eitel et al. 2019, section 2.4.1.
    """

    name = "sixtyfour"

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int = 2,
        *,
        channels: int = 1,
        seed: int = 0,
        dropout: float = 0.3,
    ) -> None:
        super().__init__(input_shape, n_classes, channels)
        with torch.random.fork_rng(devices=[]):  # constructors draw from the global generator
            blocks = _blocks(channels, share("dropout", dropout))
            n_features = N_FILTERS * prod(self.grid_after(blocks))
            self.layers = nn.Sequential(*blocks, nn.Flatten(), nn.Linear(n_features, n_classes))
        initialise(self.layers, seed, glorot_uniform)
        convolutions = [
            f"layers.{i}" for i, layer in enumerate(self.layers) if isinstance(layer, nn.Conv3d)
        ]
        self.l2 = dict.fromkeys(convolutions[2:], L2)


def _blocks(channels: int, dropout: float) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for block, pooled in enumerate(POOLED):
        first = channels if block == 0 else N_FILTERS
        layers += [Conv3d(first, N_FILTERS, 3), nn.ELU()]
        if pooled:
            layers += [nn.MaxPool3d(3), nn.Dropout(dropout)]
    return layers
