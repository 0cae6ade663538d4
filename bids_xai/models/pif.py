r"""Patch individual filters: a convolution whose weights are shared within a patch only.

The map of :math:`C` channels is cut into patches; where the last one of an axis is not full, it is
filled up with zeros. Every patch has its own convolution, padded with zeros at the patch's own
borders ("same"), and the results are put back where the patches were.

A second set of patches, each with weights of its own, lies half a patch further on every axis
(:math:`\lfloor s / 2 \rfloor` voxels); it has only patches that fit into the map as a whole, and
there is none where not one fits. Where both sets reach a voxel, the output is the mean of the first
set's :math:`y_1` and the second one's :math:`y_2`:

.. math:: y = \frac{1}{2} (y_1 + y_2) \text{ where both are, else } y_1

The paper averages the *gradients*, and for heatmaps the *relevance*, of the two sets. Averaging the
outputs does both: the derivative of a mean is the mean of the derivatives, and relevance that is
handed down through the mean reaches either set by what it contributed. The layer thus stays one
affine map, and relevance is conserved. The code published with the paper shifts by a whole patch
and hands both sets on side by side, shrunk by convolutions that do not pad; here, as the paper
says, the shift is half a patch and patches go back to their place, for which convolutions pad.

Source: Eitel et al. 2021; the project's method sheet, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod, sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from bids_xai.errors import UsageError

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class _Tiles:
    """A regular set of patches.

    start, counts, patch : per axis, the first voxel, number of patches and voxels of a patch
    """

    start: tuple[int, ...]
    counts: tuple[int, ...]
    patch: tuple[int, ...]

    @property
    def region(self) -> Box:
        """Voxels from the first patch to the end of the last, which may lie outside the map."""
        x, y, z = (
            slice(first, first + count * size)
            for first, count, size in zip(self.start, self.counts, self.patch, strict=True)
        )
        return (x, y, z)

    def boxes(self, grid: tuple[int, ...]) -> list[Box]:
        """Voxels of every patch within the map, in the order of the weights."""
        axes = [
            [
                slice(first + index * size, min(first + (index + 1) * size, voxels))
                for index in range(count)
            ]
            for first, count, size, voxels in zip(
                self.start, self.counts, self.patch, grid, strict=True
            )
        ]
        return [(x, y, z) for x, y, z in product(*axes)]

    def split(self, x: Tensor) -> Tensor:
        """Patches side by side as channels: (n, n_patches * c, patch) of a map (n, c, x, y, z)."""
        (a, b, c), (p, q, r) = self.counts, self.patch
        x = x[(slice(None), slice(None), *self.region)]
        missing = [
            count * size - n
            for count, size, n in zip(self.counts, self.patch, x.shape[2:], strict=True)
        ]
        x = functional.pad(x, (0, missing[2], 0, missing[1], 0, missing[0]))
        n, channels = x.shape[:2]
        x = x.reshape(n, channels, a, p, b, q, c, r).permute(0, 2, 4, 6, 1, 3, 5, 7)
        return x.reshape(n, a * b * c * channels, p, q, r)

    def join(self, patches: Tensor) -> Tensor:
        """The inverse of :meth:`split`: (n, c, x, y, z) over ``region``."""
        (a, b, c), (p, q, r) = self.counts, self.patch
        x = patches.reshape(len(patches), a, b, c, -1, p, q, r).permute(0, 4, 1, 5, 2, 6, 3, 7)
        return x.reshape(len(patches), -1, a * p, b * q, c * r)


class PIF3d(nn.Module):
    """Patch individual filters on maps (n, in_channels, x, y, z) of a fixed grid.

    in_channels, out_channels : of the map before and after
    input_shape : (x, y, z) voxels of the map; the output has the same
    patch_shape : (x, y, z) voxels of a patch, or one number for all axes
    kernel_size : an odd number
    shifted : whether there is the second set of patches, half a patch further

    ``weight`` is (n_patches * out_channels, in_channels, k, k, k), ``bias`` (n_patches *
    out_channels), patch by patch in the order of :meth:`patch_slices`; ``shifted_weight`` and
    ``shifted_bias`` are those of the second set, None where it is empty. For fixed weights the
    layer is an affine map of its input. All patches of a set run as one grouped convolution.

    Raises ``UsageError`` for sizes that cannot be and for a map of another grid.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        input_shape: Sequence[int],
        patch_shape: int | Sequence[int],
        kernel_size: int = 3,
        *,
        shifted: bool = True,
    ) -> None:
        super().__init__()
        grid = tuple(input_shape)
        patch = (patch_shape,) * 3 if isinstance(patch_shape, int) else tuple(patch_shape)
        _check_sizes(in_channels, out_channels, grid, patch, kernel_size)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.input_shape = grid
        self.patch_shape = patch
        self.kernel_size = kernel_size
        counts = tuple(-(-n // size) for n, size in zip(grid, patch, strict=True))
        half = tuple(size // 2 for size in patch)
        fitting = tuple(
            (n - first) // size for n, first, size in zip(grid, half, patch, strict=True)
        )
        self._plain = _Tiles((0, 0, 0), counts, patch)
        possible = any(half) and min(fitting) > 0
        self._shifted = _Tiles(half, fitting, patch) if shifted and possible else None
        self._create_parameters()
        self.reset_parameters()

    @property
    def n_patches(self) -> int:
        """Number of patches of both sets."""
        return len(self.patch_slices())

    def forward(self, x: Tensor) -> Tensor:
        """The layer's map (n, out_channels, x, y, z) of ``x`` (n, in_channels, x, y, z)."""
        return self.apply_weights(x, lambda weight: weight, with_bias=True)

    def apply_weights(
        self, x: Tensor, transform: Callable[[Tensor], Tensor], with_bias: bool
    ) -> Tensor:
        """The same layer with every weight tensor passed through ``transform``.

        x : (n, in_channels, x, y, z); the result is (n, out_channels, x, y, z)
        transform : from a tensor of weights to one of the same shape
        with_bias : whether biases are added, else they are left out
        Gradients reach ``x`` and, through ``transform``, the weights.
        """
        if x.shape[2:] != self.input_shape:
            raise UsageError(
                f"A map of {tuple(x.shape[2:])} voxels does not fit a PIF "
                f"layer built for {self.input_shape}",
                fix="build the network for the shape of its volumes",
            )
        x_size, y_size, z_size = self.input_shape
        plain = _convolve(self._plain, x, transform(self.weight), self.bias if with_bias else None)
        plain = plain[:, :, :x_size, :y_size, :z_size]
        if self._shifted is None:
            return plain
        weight = transform(self.shifted_weight)
        bias = self.shifted_bias if with_bias else None
        shifted = _convolve(self._shifted, x, weight, bias)
        return plain * self.plain_share + functional.pad(shifted / 2, self._margins())

    def weights(self) -> Iterator[tuple[nn.Parameter, nn.Parameter]]:
        """Weight and bias of each set of patches."""
        yield self.weight, self.bias
        if self._shifted is not None:
            yield self.shifted_weight, self.shifted_bias

    def patch_slices(self) -> list[Box]:
        """Voxels of every patch on the output, first the plain set, then the shifted one.

        In the order of the weights; patches at the end of an axis may be smaller than the others.
        """
        shifted = [] if self._shifted is None else self._shifted.boxes(self.input_shape)
        return self._plain.boxes(self.input_shape) + shifted

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Weights and biases U(-b, b), b = 1 / sqrt(fan in), from torch's global generator."""
        bound = 1 / sqrt(self.in_channels * self.kernel_size**3)
        for weight, bias in self.weights():
            weight.uniform_(-bound, bound)
            bias.uniform_(-bound, bound)

    def extra_repr(self) -> str:
        """The sizes, for ``repr``."""
        return (
            f"{self.in_channels}, {self.out_channels}, input_shape={self.input_shape}, "
            f"patch_shape={self.patch_shape}, kernel_size={self.kernel_size}, "
            f"shifted={self._shifted is not None}"
        )

    def _create_parameters(self) -> None:
        """Uninitialised parameters, and the share of the plain set in every voxel."""
        kernel = (self.kernel_size,) * 3

        def parameters(tiles: _Tiles) -> tuple[nn.Parameter, nn.Parameter]:
            rows = prod(tiles.counts) * self.out_channels
            weight = nn.Parameter(torch.empty(rows, self.in_channels, *kernel))
            return weight, nn.Parameter(torch.empty(rows))

        self.weight, self.bias = parameters(self._plain)
        self.shifted_weight: nn.Parameter
        self.shifted_bias: nn.Parameter
        plain_share = torch.ones(self.input_shape)
        if self._shifted is None:
            self.register_parameter("shifted_weight", None)
            self.register_parameter("shifted_bias", None)
        else:
            self.shifted_weight, self.shifted_bias = parameters(self._shifted)
            plain_share[self._shifted.region] = 0.5
        self.plain_share: Tensor
        self.register_buffer("plain_share", plain_share, persistent=False)

    def _margins(self) -> list[int]:
        """Voxels around the shifted set, in the order that ``pad`` wants (last axis first)."""
        if self._shifted is None:
            return []
        margins: list[int] = []
        for box, voxels in zip(self._shifted.region, self.input_shape, strict=True):
            margins = [box.start, voxels - box.stop, *margins]
        return margins


def _convolve(tiles: _Tiles, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Every patch by its own convolution, over the region of ``tiles``."""
    padding = weight.shape[2] // 2
    n_patches = prod(tiles.counts)
    result = functional.conv3d(tiles.split(x), weight, bias, padding=padding, groups=n_patches)
    return tiles.join(result)


def _check_sizes(
    in_channels: int,
    out_channels: int,
    grid: tuple[int, ...],
    patch: tuple[int, ...],
    kernel_size: int,
) -> None:
    possible = len(grid) == len(patch) == 3
    possible = possible and min(in_channels, out_channels, *grid, *patch, kernel_size) > 0
    if not possible or kernel_size % 2 == 0:
        raise UsageError(
            f"A PIF layer of {in_channels} to {out_channels} channels, a map of {grid}, patches "
            f"of {patch} and a kernel of {kernel_size} cannot be built",
            fix="give positive whole numbers for three axes, and an odd kernel size",
        )
