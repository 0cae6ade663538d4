"""The patch-based baseline of Eitel et al. 2021 (``patch``), after Liu et al. 2018."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from bids_xai.models.chain import Chain, Triple, output_grid, smallest_input
from bids_xai.models.options import share
from bids_xai.models.weights import fan_in_uniform, initialise
from bids_xai.runtime.convolution import Conv3d

PATCHES = (2, 3, 2)
FILTERS = (15, 25, 50, 50)
POOLS = (3, 2, 2)
N_HIDDEN = 40


class Patch(Chain):
    """One small network on each of 2 x 3 x 2 patches, the same for all, and the mean of its logits.

    Convolutions k3 with 15, 25, 50 and 50 filters and ELU, max-pools of 3, 2, 2 and dropout after
    the first three, then FC 40, ELU, FC ``n_classes``. Nothing is padded, so what the small
    network says of a patch depends on that patch alone, and running it on every patch is the same
    as running it once on the whole volume with dense layers that slide from patch to patch. That
    is how it is built: the dense layers are convolutions, the first as large as the map of one
    patch and with a stride from patch to patch. Patches lie at multiples of 12 voxels; they
    overlap by what a division of the axis leaves over, and up to 11 voxels at the end of an axis
    are not seen. 182 x 218 x 182 voxels become patches of 92 x 92 x 92, 84 x 60 x 84 voxels apart.
    The volume needs 68 x 80 x 68.

    Facts of the small network are from the code published with the paper, which leaves open how
    patches are combined: here their logits are averaged. It has tanh in place of ELU, and a last
    pool of 3 with stride 2. Weights and biases are uniform within 1 / sqrt(fan in), as torch draws
    them.

    dropout : of whole filters behind each pool; twice as much behind the 4th convolution
    head_dropout : between the dense layers

    Source: Eitel et al. 2021; Liu et al. 2018 (Neuroinformatics 16, 295).
    """

    name = "patch"

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int = 2,
        *,
        channels: int = 1,
        seed: int = 0,
        dropout: float = 0.1,
        head_dropout: float = 0.4,
    ) -> None:
        super().__init__(input_shape, n_classes, channels)
        share("dropout", 2 * share("dropout", dropout))
        with torch.random.fork_rng(devices=[]):  # constructors draw from the global generator
            maps = _maps(channels, dropout)
            self.check_grid(smallest_input(maps, PATCHES))
            kernel, stride = _window(output_grid(maps, self.input_shape))
            self.layers = nn.Sequential(
                *maps,
                Conv3d(FILTERS[-1], N_HIDDEN, kernel, stride),
                nn.ELU(),
                nn.Dropout(share("head_dropout", head_dropout)),
                Conv3d(N_HIDDEN, n_classes, 1),
                nn.AdaptiveAvgPool3d(1),
                nn.Flatten(),
            )
        initialise(self.layers, seed, fan_in_uniform)


def _maps(channels: int, dropout: float) -> list[nn.Module]:
    """The convolutions of the small network."""
    layers: list[nn.Module] = []
    before = channels
    for index, n in enumerate(FILTERS):
        layers += [Conv3d(before, n, 3), nn.ELU()]
        if index < len(POOLS):
            layers += [nn.MaxPool3d(POOLS[index]), nn.Dropout3d(dropout)]
        before = n
    return [*layers, nn.Dropout3d(2 * dropout)]


def _window(grid: Triple) -> tuple[Triple, Triple]:
    """Size and stride, on the map of the whole volume, of the map of one patch.

    A map's voxel sees 56 voxels of the volume and its neighbour lies 12 further: patches that are
    up to three map voxels smaller than their stride still leave no gap between them.
    """
    stride = tuple(
        min((n + 3) // count, (n - 1) // (count - 1))
        for n, count in zip(grid, PATCHES, strict=True)
    )
    kernel = tuple(
        n - (count - 1) * step for n, count, step in zip(grid, PATCHES, stride, strict=True)
    )
    return (kernel[0], kernel[1], kernel[2]), (stride[0], stride[1], stride[2])
