"""Activation maximisation: the volume that a filter answers to most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bids_xai.attribution.layers import known_chain, layer_position, run_layers
from bids_xai.attribution.modes import evaluating
from bids_xai.errors import UsageError


class Maximized(NamedTuple):
    """A volume (1, channels, x, y, z), and the mean activation before each step and at the end."""

    volume: Tensor
    activations: Tensor


def maximize_activation(
    model: nn.Module,
    shape: Sequence[int],
    layer: int | str,
    channel: int,
    *,
    steps: int = 200,
    step_size: float = 0.05,
    decay: float = 0.01,
    jitter: int = 1,
    low: float = 0.0,
    high: float = 1.0,
    seed: int = 0,
) -> Maximized:
    """Gradient ascent on the mean activation of one filter of a hidden layer.

    It explains a filter, not a volume, and so is no row of ``METHODS``.

    shape : (x, y, z), or (channels, x, y, z), of the input of the network
    layer : position in the chain, or name of the module; channel : a filter of it, or a unit
    steps, step_size : every step adds the gradient, scaled to a root mean square of ``step_size``
        of the range (high - low)
    decay : share by which the difference from ``low`` shrinks at every step: no contrast that the
        filter does not ask for
    jitter : the volume is shifted by up to that many voxels an axis (around its end) before each
        step, and back after it, which suppresses patterns of the grid
    low, high : bounds of the values; the start is noise in the middle tenth of this range
    seed : of the noise and the shifts; the global generator is left as found
    Source: Erhan et al. 2009; regularised after Mordvintsev et al. 2015. Raises ``UsageError`` for
    a layer or channel that is not there.
    """
    if low >= high or steps < 1:
        raise UsageError(
            f"{steps} steps between {low} and {high} are invalid",
            fix="give at least one step, and low below high",
        )
    position = layer_position(model, layer)
    leaves = known_chain(model, "Activation maximisation")[: position + 1]
    generator = torch.Generator().manual_seed(seed)
    parameter = next(model.parameters())
    size = (1, 1, *shape) if len(shape) == 3 else (1, *shape)
    noise = torch.rand(size, generator=generator, dtype=parameter.dtype).to(parameter.device)
    volume = low + (high - low) * (0.45 + 0.1 * noise)
    activations = []
    with evaluating(model):
        for _ in range(steps):
            shift = torch.randint(-jitter, jitter + 1, (3,), generator=generator).tolist()
            activation, slope = _slope(leaves, volume.roll(shift, (2, 3, 4)), channel)
            activations.append(activation)
            slope = slope.roll([-s for s in shift], (2, 3, 4))
            scale = slope.square().mean().sqrt().clamp(min=torch.finfo(slope.dtype).tiny)
            volume = volume + step_size * (high - low) * slope / scale
            volume = (low + (1 - decay) * (volume - low)).clamp(low, high)
        activations.append(_slope(leaves, volume, channel)[0])
    return Maximized(volume, torch.stack(activations))


def _slope(leaves: Sequence[nn.Module], volume: Tensor, channel: int) -> tuple[Tensor, Tensor]:
    """Mean activation of the channel, and its gradient with respect to the volume."""
    with torch.set_grad_enabled(True):
        inputs = volume.detach().clone().requires_grad_()
        output = run_layers(leaves, inputs)
        if not 0 <= channel < output.shape[1]:
            raise UsageError(
                f"There is no channel {channel}", fix=f"give one from 0 to {output.shape[1] - 1}"
            )
        activation = output[:, channel].mean()
        (slope,) = torch.autograd.grad(activation, inputs)
    return activation.detach(), slope
