"""Small changes of a training scan: mirrored, moved by whole voxels.

Volume and mask are changed alike. What is drawn depends on seed, epoch and number of the scan
alone, not on what was drawn before: a run that goes on in the middle of an epoch draws the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bids_xai.training.batches import Change
from bids_xai.training.recipe import Recipe


def augmentation(recipe: Recipe, epoch: int) -> Change | None:
    """The change of this epoch's training scans, None where the recipe asks for none."""
    if not recipe.flip_axes and not recipe.shift_voxels:
        return None

    def change(volume: Tensor, mask: Tensor, index: int) -> tuple[Tensor, Tensor]:
        flips, shift = draw(recipe, epoch, index)
        return moved(volume, flips, shift), moved(mask, flips, shift)

    return change


def draw(recipe: Recipe, epoch: int, index: int) -> tuple[list[int], tuple[int, ...]]:
    """Axes to mirror, and voxels to shift along each of the three axes, of one scan."""
    # + 1: a trailing 0 would be the stream that orders the scans of the epoch
    rng = np.random.default_rng((recipe.seed, epoch, index + 1))
    flips = [axis for axis in recipe.flip_axes if rng.random() < 0.5]
    k = recipe.shift_voxels
    return flips, tuple(int(voxels) for voxels in rng.integers(-k, k, size=3, endpoint=True))


def moved(tensor: Tensor, flips: Sequence[int], shift: Sequence[int]) -> Tensor:
    """A volume (channels, x, y, z) mirrored, then shifted with zeros moving in.

    ``shift`` of +1 moves content towards higher indices. The input is not changed.
    """
    mirrored = tensor.flip([1 + axis for axis in flips])  # a copy, also without axes
    if not any(shift):
        return mirrored
    sizes = tensor.shape[1:]
    to = [slice(max(0, s), max(0, n + min(0, s))) for s, n in zip(shift, sizes, strict=True)]
    source = [slice(max(0, -s), max(0, n - max(0, s))) for s, n in zip(shift, sizes, strict=True)]
    result = torch.zeros_like(mirrored)
    result[:, to[0], to[1], to[2]] = mirrored[:, source[0], source[1], source[2]]
    return result
