"""What all networks share: one ordered chain of layers and the arithmetic of its grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

from torch import Tensor, nn

from bids_xai.errors import UsageError

Triple = tuple[int, int, int]


class Chain(nn.Module):
    """A network whose whole forward pass is the ordered chain ``layers``.

    Attribution walks through ``layers``, so nothing may happen outside it. A subclass fills
    ``layers`` in its constructor, with ``grid_after`` for the size of its first dense layer.

    input_shape : (x, y, z) voxels of a volume
    n_classes : number of outputs (logits); channels : number of input channels
    l2 : name of a layer -> weight of the sum of its squared weights in the training loss
    Raises ``UsageError`` for a shape, a number of classes or of channels that cannot be.
    """

    name: ClassVar[str]
    layers: nn.Sequential

    def __init__(self, input_shape: Sequence[int], n_classes: int, channels: int) -> None:
        super().__init__()
        shape = tuple(input_shape)
        if len(shape) != 3 or min(shape) < 1 or n_classes < 2 or channels < 1:
            raise UsageError(
                f"A {self.name} network of input {shape}, {channels} channels and {n_classes} "
                "classes cannot be built",
                fix="give three axes of at least one voxel, one channel and two classes or more",
            )
        self.input_shape: Triple = shape
        self.n_classes = n_classes
        self.channels = channels
        self.l2: dict[str, float] = {}

    def forward(self, volumes: Tensor) -> Tensor:
        """Logits (n, n_classes) of ``volumes`` (n, channels, x, y, z)."""
        logits: Tensor = self.layers(volumes)
        return logits

    def grid_after(self, layers: Sequence[nn.Module]) -> Triple:
        """Voxels of each axis behind ``layers``, which see the volume first.

        Raises ``UsageError`` where an axis would not arrive; it says what the network needs.
        """
        self.check_grid(smallest_input(layers))
        return output_grid(layers, self.input_shape)

    def check_grid(self, needed: Triple) -> None:
        """Raise ``UsageError`` where the volume has fewer voxels than ``needed`` on some axis."""
        if all(n >= least for n, least in zip(self.input_shape, needed, strict=True)):
            return
        least = f"{needed[0]} voxels on every axis" if len(set(needed)) == 1 else _times(needed)
        raise UsageError(
            f"The network {self.name} needs at least {least}, the volumes have "
            f"{_times(self.input_shape)}",
            fix="use smaller voxels, or a network for smaller volumes (graz takes any size)",
        )


def output_grid(layers: Sequence[nn.Module], grid: Triple) -> Triple:
    """Voxels of each axis behind ``layers`` for an input of ``grid`` voxels."""
    sizes = list(grid)
    for layer in layers:
        for axis, (kernel, stride, padding) in enumerate(_window(layer)):
            sizes[axis] = (sizes[axis] + 2 * padding - kernel) // stride + 1
    return (sizes[0], sizes[1], sizes[2])


def smallest_input(layers: Sequence[nn.Module], grid: Triple = (1, 1, 1)) -> Triple:
    """The smallest input that leaves ``grid`` voxels behind ``layers``."""
    sizes = list(grid)
    for layer in reversed(layers):
        for axis, (kernel, stride, padding) in enumerate(_window(layer)):
            sizes[axis] = (sizes[axis] - 1) * stride + kernel - 2 * padding
    return (sizes[0], sizes[1], sizes[2])


def _window(layer: nn.Module) -> list[Triple]:
    """(kernel, stride, padding) of each axis of a layer that may change the grid, else nothing."""
    if isinstance(layer, nn.Conv3d):
        padding = cast("Triple", layer.padding)  # networks here pad by numbers, not by words
        return list(zip(layer.kernel_size, layer.stride, padding, strict=True))
    if isinstance(layer, nn.MaxPool3d):
        sizes = (layer.kernel_size, layer.stride, layer.padding)
        kernel, stride, pad = (triple(size) for size in sizes)
        return list(zip(kernel, stride, pad, strict=True))
    return []


def triple(size: int | Sequence[int]) -> Triple:
    """One number for every axis, or one for all."""
    x, y, z = (size, size, size) if isinstance(size, int) else size
    return (x, y, z)


def _times(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes)) + " voxels"
