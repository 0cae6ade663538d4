"""The classifier of Tinauer et al. 2025 (``graz``): strided convolutions, biases never positive."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn

from bids_xai.errors import UsageError

N_BLOCKS = 4
N_CHANNELS = 8
N_HIDDEN = 16


class Graz(nn.Module):
    """Four blocks [Conv 8 k3, ReLU, Conv 8 k3 stride 2, ReLU], then FC 16, ReLU, FC ``n_classes``.

    ``layers`` is the whole network as one ordered chain: what attribution walks through.
    Every convolution pads one zero voxel on each side ("same"): a strided one halves an axis of
    n voxels to ceil(n / 2), so 176 x 224 x 256 becomes 11 x 14 x 16. No pooling, batch norm or
    dropout, hence no output depends on the rest of the batch. Weights are He-uniform, biases
    start at zero and :meth:`project_biases` keeps them from becoming positive.

    Source: Tinauer et al. 2025, section II C; layout in the project's method sheet, section 3.
    """

    def __init__(
        self, input_shape: tuple[int, int, int], n_classes: int = 2, seed: int = 0
    ) -> None:
        super().__init__()
        if len(input_shape) != 3 or min(input_shape) < 1 or n_classes < 2:
            raise UsageError(
                f"A graz network of input {input_shape} and {n_classes} classes cannot be built",
                fix="give three axes of at least one voxel and at least two classes",
            )
        self.input_shape = input_shape
        self.n_classes = n_classes
        with torch.random.fork_rng(devices=[]):  # constructors draw from the global generator
            self.layers = nn.Sequential(*_blocks(), *_head(input_shape, n_classes))
        _initialise(self.layers, seed)

    def forward(self, volumes: Tensor) -> Tensor:
        """Logits (n, n_classes) of ``volumes`` (n, 1, x, y, z)."""
        logits: Tensor = self.layers(volumes)
        return logits

    @torch.no_grad()
    def project_biases(self) -> None:
        """Clamp every bias, the output layer's too, to at most zero, in place."""
        for layer in self.layers:
            if isinstance(layer, nn.Conv3d | nn.Linear) and layer.bias is not None:
                layer.bias.clamp_(max=0.0)


def _blocks() -> list[nn.Module]:
    """The convolutional blocks; one input channel."""
    layers: list[nn.Module] = []
    for block in range(N_BLOCKS):
        first = 1 if block == 0 else N_CHANNELS
        layers += [nn.Conv3d(first, N_CHANNELS, 3, padding=1), nn.ReLU()]
        layers += [nn.Conv3d(N_CHANNELS, N_CHANNELS, 3, stride=2, padding=1), nn.ReLU()]
    return layers


def _head(input_shape: tuple[int, int, int], n_classes: int) -> list[nn.Module]:
    """The dense layers; an axis of n voxels arrives with ceil(n / 16)."""
    n_features = N_CHANNELS * prod(-(-n // 2**N_BLOCKS) for n in input_shape)
    return [
        nn.Flatten(),
        nn.Linear(n_features, N_HIDDEN),
        nn.ReLU(),
        nn.Linear(N_HIDDEN, n_classes),
    ]


def _initialise(layers: nn.Sequential, seed: int) -> None:
    """He-uniform weights, U(-b, b) with b = sqrt(6 / fan_in), and zero biases, from ``seed``."""
    generator = torch.Generator().manual_seed(seed)
    for layer in layers:
        if isinstance(layer, nn.Conv3d | nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
