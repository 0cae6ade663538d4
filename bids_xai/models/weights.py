"""Initial weights of a chain of layers, all of them from one seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod, sqrt

import torch
from torch import Tensor, nn

from bids_xai.models.pif import PIF3d

Bounds = Callable[[int, int], tuple[float, float]]
"""(fan in, fan out) of a layer -> bounds of the uniform distributions of weights and biases."""


def he_uniform(fan_in: int, fan_out: int) -> tuple[float, float]:
    """Weights U(-b, b) with b = sqrt(6 / fan_in), biases zero. Source: He et al. 2015."""
    return sqrt(3.0) * (sqrt(2.0) / sqrt(fan_in)), 0.0


def glorot_uniform(fan_in: int, fan_out: int) -> tuple[float, float]:
    """Weights U(-b, b) with b = sqrt(6 / (fan_in + fan_out)), biases zero.

    Source: Glorot and Bengio 2010; what Keras does unless told otherwise.
    """
    return sqrt(6.0 / (fan_in + fan_out)), 0.0


def fan_in_uniform(fan_in: int, fan_out: int) -> tuple[float, float]:
    """Weights and biases U(-b, b) with b = 1 / sqrt(fan_in): what torch does by itself."""
    bound = 1.0 / sqrt(fan_in)
    return bound, bound


@torch.no_grad()
def initialise(layers: nn.Module, seed: int, bounds: Bounds) -> None:
    """Draw all weights and biases of ``layers``, in their order, in place.

    Batch norm is left alone: it starts at scale 1 and shift 0.
    """
    generator = torch.Generator().manual_seed(seed)
    for layer in layers.modules():
        for weight, bias, n_outputs in _weighted(layer):
            receptive = prod(weight.shape[2:])
            weight_bound, bias_bound = bounds(weight.shape[1] * receptive, n_outputs * receptive)
            weight.uniform_(-weight_bound, weight_bound, generator=generator)
            if bias is not None and bias_bound:
                bias.uniform_(-bias_bound, bias_bound, generator=generator)
            elif bias is not None:
                bias.zero_()


def _weighted(layer: nn.Module) -> Iterator[tuple[Tensor, Tensor | None, int]]:
    """(weight, bias, number of output channels) of everything in a layer that has weights."""
    if isinstance(layer, nn.Conv3d):
        yield layer.weight, layer.bias, layer.out_channels
    elif isinstance(layer, nn.Linear):
        yield layer.weight, layer.bias, layer.out_features
    elif isinstance(layer, PIF3d):
        for weight, bias in layer.weights():
            yield weight, bias, layer.out_channels
