"""Relevance that starts inside the network: at a filter, a unit, or a patch of a hidden layer."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from bids_xai.attribution.layers import ACTIVATIONS, DROPOUTS, layer_position, unroll
from bids_xai.attribution.lrp import recipe_of
from bids_xai.attribution.modes import explaining
from bids_xai.attribution.propagate import assign, run_forward, take_back
from bids_xai.errors import UsageError


@runtime_checkable
class Patched(Protocol):
    """A layer that says which voxels of its output belong to which of its patches."""

    def patch_slices(self) -> list[tuple[slice, slice, slice]]: ...


def unit_relevance(
    model: nn.Module,
    volumes: Tensor,
    layer: int | str,
    *,
    channel: int | None = None,
    voxel: tuple[int, int, int] | None = None,
    patch: int | None = None,
    method: str = "lrp-alphabeta",
    **options: object,
) -> Tensor:
    """Relevance (n, channels, x, y, z) of the activation of units of a hidden layer.

    Relevance starts at the output of ``layer`` (name the activation layer for values after it),
    where it is the activation of the chosen units and 0 elsewhere; it sums to the sum of these
    activations where the method conserves.

    layer : position in the chain, or name of the module
    channel : one filter (or unit of a dense layer); all of them if not given
    voxel : one voxel of the feature map
    patch : one patch of a patch-individual-filter layer, that is ``layer`` or the layer that
        ``layer`` activates; the overlapping patches come after the others
    method, options : an LRP method of ``METHODS`` and its options; ``start`` has no effect
    Source: Eitel et al. 2021 (per filter and per patch, beta 4). Raises ``UsageError`` for what is
    not there.
    """
    position = layer_position(model, layer)
    leaves = unroll(model)[: position + 1]
    recipe = recipe_of(method, **options)
    part = nn.Sequential(*leaves)
    with explaining(model, volumes), torch.no_grad():
        if recipe.check is not None:
            recipe.check(part, volumes)
        steps = recipe.steps(part)
        output, caches = run_forward(steps, volumes)
        start = output * _selection(output, leaves, channel, voxel, patch)
        return take_back(steps, assign(steps, recipe), caches, start).detach()


def _selection(
    output: Tensor,
    leaves: list[nn.Module],
    channel: int | None,
    voxel: tuple[int, int, int] | None,
    patch: int | None,
) -> Tensor:
    """1 at the chosen units of ``output`` (n, units) or (n, channels, x, y, z), 0 elsewhere."""
    if voxel is not None and patch is not None:
        raise UsageError("A voxel and a patch cannot be combined", fix="give one of them")
    if output.ndim != 5 and (voxel is not None or patch is not None):
        raise UsageError(
            f"The output of {leaves[-1]} has neither voxels nor patches", fix="give a channel"
        )
    where: list[slice] = [slice(None)] * output.ndim
    if channel is not None:
        where[1] = _single_index(channel, output.shape[1], "channel")
    if voxel is not None:
        where[2:] = [
            _single_index(i, n, "voxel") for i, n in zip(voxel, output.shape[2:], strict=True)
        ]
    if patch is not None:
        where[2:] = _patch(leaves, patch)
    selection = torch.zeros_like(output[:1])
    selection[tuple(where)] = 1
    return selection


def _patch(leaves: list[nn.Module], patch: int) -> tuple[slice, slice, slice]:
    """Voxels of a patch of the last layer, or of the one that it activates."""
    for leaf in reversed(leaves):
        if isinstance(leaf, Patched):
            slices = leaf.patch_slices()
            x, y, z = slices[_single_index(patch, len(slices), "patch").start]
            return x, y, z
        if not isinstance(leaf, (*ACTIVATIONS, *DROPOUTS, nn.Identity)):
            break
    raise UsageError(f"{leaves[-1]} has no patches", fix="choose a layer with patch filters")


def _single_index(index: int, n: int, name: str) -> slice:
    if not 0 <= index < n:
        raise UsageError(f"There is no {name} {index}", fix=f"give one from 0 to {n - 1}")
    return slice(index, index + 1)
