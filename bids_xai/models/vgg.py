"""The classifiers of Eitel et al. 2021: ``vgg-a``, ``vgg-b``, and ``-pif`` with patch filters."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import torch
from torch import nn

from bids_xai.models.chain import Chain
from bids_xai.models.options import share, whole_number, whole_numbers
from bids_xai.models.pif import PIF3d
from bids_xai.models.weights import fan_in_uniform, initialise
from bids_xai.runtime.convolution import Conv3d

FILTERS_A = (8, 16, 32, 64, 64)
FILTERS_B = (8, 32, 64, 64)


class _Vgg(Chain):
    """``n_convolutions`` times [Conv k3, ELU], FC ``hidden``, ELU, FC ``n_classes``.

    Convolutions do not pad. A max-pool of 3 follows the 1st and 2nd, one of ``last_pool`` the
    last; after each pool whole filters are dropped.
    """

    n_convolutions: ClassVar[int]
    last_pool: ClassVar[tuple[int, int]]
    """(window, stride)"""

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int,
        channels: int,
        seed: int,
        filters: Sequence[int],
        second_stride: int,
        hidden: int,
        dropout: float,
    ) -> None:
        super().__init__(input_shape, n_classes, channels)
        filters = whole_numbers("filters", filters, self.n_convolutions)
        whole_number("hidden", hidden)
        dropout = share("dropout", dropout)
        with torch.random.fork_rng(devices=[]):  # constructors draw from the global generator
            blocks = _convolutions(channels, filters, second_stride, dropout)
            blocks += [nn.MaxPool3d(*self.last_pool), nn.Dropout3d(dropout)]
            n_features = filters[-1] * prod(self.grid_after(blocks))
            self.layers = nn.Sequential(*blocks, *_head(n_features, hidden, n_classes))
        initialise(self.layers, seed, fan_in_uniform)


class _VggPif(Chain):
    """As :class:`_Vgg`, with the last convolution, its pool and dropout replaced by a PIF layer."""

    n_convolutions: ClassVar[int]

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int,
        channels: int,
        seed: int,
        filters: Sequence[int],
        second_stride: int,
        hidden: int,
        dropout: float,
        patch: int | Sequence[int],
        pif_filters: int,
    ) -> None:
        super().__init__(input_shape, n_classes, channels)
        filters = whole_numbers("filters", filters, self.n_convolutions)
        sizes = (patch,) * 3 if isinstance(patch, int) else patch
        sizes = whole_numbers("patch", sizes, 3)
        whole_number("hidden", hidden)
        whole_number("pif_filters", pif_filters)
        with torch.random.fork_rng(devices=[]):  # constructors draw from the global generator
            blocks = _convolutions(channels, filters, second_stride, share("dropout", dropout))
            grid = self.grid_after(blocks)
            self.layers = nn.Sequential(
                *blocks,
                PIF3d(filters[-1], pif_filters, grid, sizes),
                nn.ELU(),
                *_head(pif_filters * prod(grid), hidden, n_classes),
            )
        initialise(self.layers, seed, fan_in_uniform)


class VggA(_Vgg):
    """Five [Conv k3, ELU] with three pools and dropout, then FC 100, ELU, FC ``n_classes``.

    Max-pools of 3 follow the 1st and 2nd convolution, one of 4 with stride 2 the 5th, each with
    dropout of whole filters. Nothing is padded: 182 x 218 x 182 voxels arrive as 5 x 7 x 5, fewer
    than 98 on an axis do not arrive. Weights and biases are uniform within 1 / sqrt(fan in), as
    torch draws them. The defaults are those for the UK Biobank, which the paper draws, with one
    logit a class in place of its one sigmoid unit; its volumes of 96 x 114 x 96 had ``filters`` 8,
    16, 32, 64, 36, ``second_stride`` 2 and ``hidden`` 80 (all as in the published code).

    filters : of the five convolutions
    second_stride : of the second pool
    hidden : units of the first dense layer; dropout : probability of every dropout

    Source: Eitel et al. 2021, figure 5 (model A).
    """

    name = "vgg-a"
    n_convolutions = 5
    last_pool = (4, 2)

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int = 2,
        *,
        channels: int = 1,
        seed: int = 0,
        filters: Sequence[int] = FILTERS_A,
        second_stride: int = 3,
        hidden: int = 100,
        dropout: float = 0.3,
    ) -> None:
        super().__init__(
            input_shape, n_classes, channels, seed, filters, second_stride, hidden, dropout
        )


class VggB(_Vgg):
    """Four [Conv k3, ELU] with three pools and dropout, then FC 100, ELU, FC ``n_classes``.

    As :class:`VggA` with one convolution less, other filters and a last pool of 4 with stride 3:
    182 x 218 x 182 voxels arrive as 4 x 6 x 4, fewer than 80 on an axis do not arrive.

    Source: Eitel et al. 2021 (model B).
    """

    name = "vgg-b"
    n_convolutions = 4
    last_pool = (4, 3)

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int = 2,
        *,
        channels: int = 1,
        seed: int = 0,
        filters: Sequence[int] = FILTERS_B,
        second_stride: int = 3,
        hidden: int = 100,
        dropout: float = 0.3,
    ) -> None:
        super().__init__(
            input_shape, n_classes, channels, seed, filters, second_stride, hidden, dropout
        )


class VggAPif(_VggPif):
    """:class:`VggA` with a PIF layer in place of the last convolution and pool.

    The PIF layer (see :mod:`bids_xai.models.pif`) keeps its grid: of 182 x 218 x 182 voxels it
    sees 15 x 19 x 15, in 36 patches of 5 x 5 x 5 and 12 shifted ones. An axis needs 53 voxels. The
    published code lets it shrink every patch to 3 x 3 x 3 and hands them on side by side; the dense
    layer behind it is larger here. Do not flip volumes in training: patches must keep their place.

    patch : voxels of a patch, one number or three
    pif_filters : of every patch; the other options as in :class:`VggA`, with four ``filters``

    Source: Eitel et al. 2021, figure 5 (model A-PIF).
    """

    name = "vgg-a-pif"
    n_convolutions = 4

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int = 2,
        *,
        channels: int = 1,
        seed: int = 0,
        filters: Sequence[int] = FILTERS_A[:-1],
        second_stride: int = 3,
        hidden: int = 100,
        dropout: float = 0.3,
        patch: int | Sequence[int] = 5,
        pif_filters: int = 6,
    ) -> None:
        super().__init__(
            input_shape,
            n_classes,
            channels,
            seed,
            filters,
            second_stride,
            hidden,
            dropout,
            patch,
            pif_filters,
        )


class VggBPif(_VggPif):
    """:class:`VggB` with a PIF layer in place of the last convolution and pool.

    As :class:`VggAPif` with three convolutions before it: of 182 x 218 x 182 voxels the PIF layer
    sees 17 x 21 x 17. An axis needs 35 voxels. The published code puts one more max-pool before
    the PIF layer; the paper's rule, which is followed here, does not.

    Source: Eitel et al. 2021 (model B-PIF).
    """

    name = "vgg-b-pif"
    n_convolutions = 3

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int = 2,
        *,
        channels: int = 1,
        seed: int = 0,
        filters: Sequence[int] = FILTERS_B[:-1],
        second_stride: int = 3,
        hidden: int = 100,
        dropout: float = 0.3,
        patch: int | Sequence[int] = 5,
        pif_filters: int = 6,
    ) -> None:
        super().__init__(
            input_shape,
            n_classes,
            channels,
            seed,
            filters,
            second_stride,
            hidden,
            dropout,
            patch,
            pif_filters,
        )


def _convolutions(
    channels: int, filters: Sequence[int], second_stride: int, dropout: float
) -> list[nn.Module]:
    """[Conv k3, ELU] for all ``filters``, the first two with a pool of 3 and dropout behind."""
    strides = [3, whole_number("second_stride", second_stride)]
    layers: list[nn.Module] = []
    before = channels
    for index, n in enumerate(filters):
        layers += [Conv3d(before, n, 3), nn.ELU()]
        if index < len(strides):
            layers += [nn.MaxPool3d(3, strides[index]), nn.Dropout3d(dropout)]
        before = n
    return layers


def _head(n_features: int, hidden: int, n_classes: int) -> list[nn.Module]:
    return [nn.Flatten(), nn.Linear(n_features, hidden), nn.ELU(), nn.Linear(hidden, n_classes)]
