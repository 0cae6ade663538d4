"""Changes of a training scan: mirrored, moved by whole voxels, with or without its skull.

Volume and mask are moved alike; a scan without its skull is zero outside the mask. What is drawn
depends on seed, epoch and number of the scan alone, not on what was drawn before: a run that goes
on in the middle of an epoch draws the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bids_xai.training.batches import Change
from bids_xai.training.recipe import Recipe


def augmentation(recipe: Recipe, epoch: int) -> Change | None:
    """The change of this epoch's training scans, None where the recipe asks for none."""
    if not recipe.flip_axes and not recipe.shift_voxels and not recipe.skull_strip:
        return None

    def change(volume: Tensor, mask: Tensor, index: int) -> tuple[Tensor, Tensor]:
        drawn = draw(recipe, epoch, index)
        stripped = volume * (mask > 0) if drawn.stripped else volume
        return moved(stripped, drawn.flips, drawn.shift), moved(mask, drawn.flips, drawn.shift)

    return change


class ScanChange(NamedTuple):
    """Axes to mirror, voxels to shift along each axis, and whether the skull is taken off."""

    flips: list[int]
    shift: tuple[int, ...]
    stripped: bool


def draw(recipe: Recipe, epoch: int, index: int) -> ScanChange:
    """The changes of one scan in one epoch; those asked for first are drawn as if alone."""
    # + 1: a trailing 0 would be the stream that orders the scans of the epoch
    rng = np.random.default_rng((recipe.seed, epoch, index + 1))
    flips = [axis for axis in recipe.flip_axes if rng.random() < 0.5]
    k = recipe.shift_voxels
    shift = tuple(int(voxels) for voxels in rng.integers(-k, k, size=3, endpoint=True))
    return ScanChange(flips, shift, bool(rng.random() < recipe.skull_strip))


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
