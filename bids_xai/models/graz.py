"""The classifier of Tinauer et al. 2025 (``graz``): strided convolutions, biases never positive."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import nn

from bids_xai.models.chain import Chain
from bids_xai.models.weights import he_uniform, initialise
from bids_xai.runtime.convolution import Conv3d

N_BLOCKS = 4
N_FILTERS = 8
N_HIDDEN = 16


class Graz(Chain):
    """Four blocks [Conv 8 k3, ReLU, Conv 8 k3 stride 2, ReLU], then FC 16, ReLU, FC ``n_classes``.

    ``layers`` is the whole network as one ordered chain: what attribution walks through.
    Every convolution pads one zero voxel on each side ("same"): a strided one halves an axis of
    n voxels to ceil(n / 2), so 176 x 224 x 256 becomes 11 x 14 x 16. No pooling, batch norm or
    dropout, hence no output depends on the rest of the batch. Weights are He-uniform, biases
    start at zero and :meth:`project_biases` keeps them from becoming positive.

    Source: Tinauer et al. 2025, section II C; layout in the project's method sheet, section 3.
    """

    name = "graz"

    def __init__(
        self, input_shape: Sequence[int], n_classes: int = 2, *, channels: int = 1, seed: int = 0
    ) -> None:
        super().__init__(input_shape, n_classes, channels)
        with torch.random.fork_rng(devices=[]):  # constructors draw from the global generator
            blocks = _blocks(channels)
            n_features = N_FILTERS * prod(self.grid_after(blocks))
            self.layers = nn.Sequential(
                *blocks,
                nn.Flatten(),
                nn.Linear(n_features, N_HIDDEN),
                nn.ReLU(),
                nn.Linear(N_HIDDEN, n_classes),
            )
        initialise(self.layers, seed, he_uniform)

    @torch.no_grad()
    def project_biases(self) -> None:
        """Clamp every bias, the output layer's too, to at most zero, in place."""
        for layer in self.layers:
            if isinstance(layer, nn.Conv3d | nn.Linear) and layer.bias is not None:
                layer.bias.clamp_(max=0.0)


def _blocks(channels: int) -> list[nn.Module]:
    """The convolutional blocks."""
    layers: list[nn.Module] = []
    for block in range(N_BLOCKS):
        first = channels if block == 0 else N_FILTERS
        layers += [Conv3d(first, N_FILTERS, 3, padding=1), nn.ReLU()]
        layers += [Conv3d(N_FILTERS, N_FILTERS, 3, stride=2, padding=1), nn.ReLU()]
    return layers
