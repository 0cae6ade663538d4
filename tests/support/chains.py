"""Small networks in float64 and volumes to explain them with; three different axis sizes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

SHAPE = (4, 5, 6)


def maps(shape: tuple[int, int, int] = SHAPE, n: int = 2, seed: int = 0) -> Tensor:
    """Volumes (n, 1, x, y, z) in [0, 1] with a background of exact zeros."""
    generator = torch.Generator().manual_seed(seed)
    volumes = torch.rand(n, 1, *shape, generator=generator, dtype=torch.float64)
    volumes[:, :, :1] = 0
    volumes[..., -1] = 0
    return volumes


def scramble(net: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights, biases and statistics of batch norm, none of them special; evaluating."""
    generator = torch.Generator().manual_seed(seed)

    def draw(tensor: Tensor, low: float, high: float) -> None:
        nn.init.uniform_(tensor, low, high, generator)

    for layer in net.modules():
        if isinstance(layer, nn.Conv3d | nn.Linear):
            bound = 2 / layer.weight[0].numel() ** 0.5
            draw(layer.weight, -0.9 * bound, bound)
            if layer.bias is not None:
                draw(layer.bias, -0.1, 0.1)
        elif isinstance(layer, nn.BatchNorm3d):
            draw(layer.weight, 0.5, 1.5)
            draw(layer.bias, -0.1, 0.1)
            draw(layer.running_mean, -0.1, 0.1)
            draw(layer.running_var, 0.5, 1.5)
            with torch.no_grad():
                layer.weight[-1] *= -1  # one channel turns round
    return net.double().eval()


def conv_net(
    activation: Callable[[], nn.Module] = nn.ReLU, norm: bool = True, seed: int = 0
) -> nn.Sequential:
    """Conv, BN, ReLU, MaxPool, Conv (strided), BN, ReLU, dense, ReLU, dense."""

    def block(conv: nn.Conv3d) -> list[nn.Module]:
        norms = [nn.BatchNorm3d(conv.out_channels)] if norm else []
        return [conv, *norms, activation()]

    net = nn.Sequential(
        *block(nn.Conv3d(1, 2, 3, padding=1)),
        nn.MaxPool3d((2, 1, 2)),
        *block(nn.Conv3d(2, 3, (1, 3, 2), stride=(1, 2, 1), padding=(0, 1, 0), bias=not norm)),
        nn.Flatten(),
        nn.Linear(3 * 2 * 3 * 2, 4),
        nn.Dropout(0.5),
        activation(),
        nn.Linear(4, 2),
    )
    scramble(net, seed)
    return net


def six_convolutions(seed: int = 0) -> nn.Sequential:
    """Six convolutions with two max-poolings, global average pooling, one dense layer."""
    layers: list[nn.Module] = []
    for first, then, width in ((1, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 1), (2, 2, 1), (2, 3, 1)):
        layers += [nn.Conv3d(first, then, (3, 1, width), padding=(1, 0, 0)), nn.ReLU()]
    layers.insert(2, nn.MaxPool3d((1, 2, 1)))
    layers.insert(7, nn.MaxPool3d((2, 1, 1)))
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(3, 2))
    scramble(net, seed)
    return net


class PatchFilters(nn.Module):
    """Two filters of 3 x 3 x 3, one for each half of the first axis, the least of such layers."""

    def __init__(self, channels: int = 2) -> None:
        super().__init__()
        self.halves = nn.ModuleList(nn.Conv3d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.apply_weights(x, lambda weight: weight, True)

    def apply_weights(
        self, x: Tensor, transform: Callable[[Tensor], Tensor], with_bias: bool
    ) -> Tensor:
        outputs = []
        for conv, part in zip(self.halves, x.tensor_split(2, dim=2), strict=True):
            bias = conv.bias if with_bias else None
            outputs.append(nn.functional.conv3d(part, transform(conv.weight), bias, padding=1))
        return torch.cat(outputs, dim=2)

    def patch_slices(self) -> list[tuple[slice, slice, slice]]:
        everything = slice(None)
        return [(slice(0, 2), everything, everything), (slice(2, 4), everything, everything)]


def patch_net(activation: Callable[[], nn.Module] = nn.ELU, seed: int = 0) -> nn.Sequential:
    """Conv, activation, patch individual filters, activation, dense; input of ``SHAPE``."""
    net = nn.Sequential(
        nn.Conv3d(1, 2, 3, padding=1),
        activation(),
        PatchFilters(),
        activation(),
        nn.Flatten(),
        nn.Linear(2 * 4 * 5 * 6, 2),
    )
    scramble(net, seed)
    return net
