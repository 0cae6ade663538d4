"""Layer-wise relevance propagation again, one contribution at a time, in plain Python.

A layer is written as the list of its connections; batch norm is folded by scalar arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float64]
Unit = tuple[int, ...]
Seen = list[tuple[Unit, float]]
Share = Callable[[list[float], list[float], float, float, float], list[float]]
"""Inputs, weights, bias, relevance of one unit and scale of the layer -> relevance of inputs."""


def slow_lrp(
    net: nn.Sequential, volume: Tensor, start: Array, rules: list[Share | None], average: bool
) -> Array:
    """Relevance (channels, x, y, z) of one volume (channels, x, y, z), from that of the output.

    rules : one for every layer with weights or average pooling, in order of the layers
    average : relevance of max-pooling as if it averaged
    """
    activations: list[Array] = []
    x = volume[None]
    with torch.no_grad():
        for layer in net:
            activations.append(x[0].numpy())
            x = layer(x)
    left = list(rules)
    relevance, norm = start, None
    for layer, seen in zip(reversed(net), reversed(activations), strict=True):
        if isinstance(layer, nn.BatchNorm3d):
            norm = layer
        elif isinstance(layer, nn.Conv3d | nn.Linear | nn.AdaptiveAvgPool3d):
            rule = left.pop()
            assert rule is not None
            relevance = _through(layer, norm, seen, relevance, rule)
            norm = None
        elif isinstance(layer, nn.MaxPool3d):
            relevance = _through_pool(layer, seen, relevance, average)
        else:
            relevance = relevance.reshape(seen.shape)
    assert not left
    return relevance


def _through(
    layer: nn.Module, norm: nn.BatchNorm3d | None, x: Array, relevance: Array, rule: Share
) -> Array:
    units = list(_connections(layer, norm, x.shape))
    z = [sum(x[at] * w for at, w in seen) + bias for _, seen, bias in units]
    scale = math.sqrt(sum(value**2 for value in z) / len(z))
    result = np.zeros(x.shape)
    for unit, seen, bias in units:
        inputs, weights = [float(x[at]) for at, _ in seen], [w for _, w in seen]
        shares = rule(inputs, weights, bias, float(relevance[unit]), scale)
        for (at, _), share in zip(seen, shares, strict=True):
            result[at] += share
    return result


def _connections(
    layer: nn.Module, norm: nn.BatchNorm3d | None, shape: tuple[int, ...]
) -> Iterator[tuple[Unit, Seen, float]]:
    """Every unit of the output with the inputs that it sees, and its bias."""
    if isinstance(layer, nn.AdaptiveAvgPool3d):
        voxels = list(np.ndindex(shape[1:]))
        for channel in range(shape[0]):
            yield (channel, 0, 0, 0), [((channel, *v), 1 / len(voxels)) for v in voxels], 0.0
        return
    assert isinstance(layer, nn.Conv3d | nn.Linear)
    weight = layer.weight.detach().numpy()
    bias = np.zeros(len(weight)) if layer.bias is None else layer.bias.detach().numpy()
    if norm is not None:
        weight, bias = weight.copy(), bias.copy()
        for channel in range(len(weight)):
            mean, variance = float(norm.running_mean[channel]), float(norm.running_var[channel])
            factor = float(norm.weight[channel]) / math.sqrt(variance + norm.eps)
            weight[channel] *= factor
            bias[channel] = (bias[channel] - mean) * factor + float(norm.bias[channel])
    if isinstance(layer, nn.Linear):
        for unit in range(len(weight)):
            yield (unit,), [((i,), weight[unit, i]) for i in range(shape[0])], float(bias[unit])
        return
    sizes = [
        (shape[1 + a] + 2 * layer.padding[a] - layer.kernel_size[a]) // layer.stride[a] + 1  # type: ignore[operator]
        for a in range(3)
    ]
    for unit in np.ndindex(len(weight), *sizes):
        seen: Seen = []
        for tap in np.ndindex(weight.shape[1:]):
            at = [
                unit[1 + a] * layer.stride[a] - layer.padding[a] + tap[1 + a]  # type: ignore[operator]
                for a in range(3)
            ]
            if all(0 <= at[a] < shape[1 + a] for a in range(3)):
                seen.append(((tap[0], *at), float(weight[(unit[0], *tap)])))
        yield unit, seen, float(bias[unit[0]])


def _through_pool(layer: nn.MaxPool3d, x: Array, relevance: Array, average: bool) -> Array:
    result = np.zeros(x.shape)
    size = layer.kernel_size
    assert isinstance(size, tuple)
    for unit in np.ndindex(relevance.shape):
        window = [
            (unit[0], *(unit[1 + a] * size[a] + tap[a] for a in range(3)))
            for tap in np.ndindex(size)
        ]
        values = [x[at] for at in window]
        if average:
            for at, value in zip(window, values, strict=True):
                if sum(values) != 0:
                    result[at] += value / sum(values) * relevance[unit]
        else:
            result[window[values.index(max(values))]] += relevance[unit]
    return result


def zplus(floor: float, absorb: bool = False) -> Share:
    def share(x: list[float], w: list[float], b: float, r: float, _: float) -> list[float]:
        parts = [max(a, floor) * max(v, floor) for a, v in zip(x, w, strict=True)]
        total = sum(parts) + (max(b, 0) if absorb else 0)
        return [part / total * r if total > 0 else 0.0 for part in parts]

    return share


def alphabeta(beta: float, absorb: bool = False, keep: bool = True) -> Share:
    def share(x: list[float], w: list[float], b: float, r: float, _: float) -> list[float]:
        parts = [a * v for a, v in zip(x, w, strict=True)]
        up = sum(p for p in parts if p > 0) + (max(b, 0) if absorb else 0)
        down = sum(p for p in parts if p < 0) + (min(b, 0) if absorb else 0)
        gain, loss = 1 + beta, beta
        if keep and (up == 0 or down == 0):
            gain, loss = (1.0, 0.0) if up > 0 else (0.0, -1.0)
        return [
            gain * p / up * r if p > 0 else (-loss * p / down * r if p < 0 else 0.0) for p in parts
        ]

    return share


def epsilon(value: float, absorb: bool = True, relative: bool = False) -> Share:
    def share(x: list[float], w: list[float], b: float, r: float, scale: float) -> list[float]:
        parts = [a * v for a, v in zip(x, w, strict=True)]
        total = sum(parts) + (b if absorb else 0)
        total += (value * scale if relative else value) * (-1 if total < 0 else 1)
        return [part / total * r if total != 0 else 0.0 for part in parts]

    return share


def gamma(value: float, absorb: bool = True) -> Share:
    def share(x: list[float], w: list[float], b: float, r: float, _: float) -> list[float]:
        products = [a * v for a, v in zip(x, w, strict=True)]
        side = sum(products) + b

        def favoured(part: float) -> float:
            return part * (1 + value) if part * side > 0 else part

        parts = [favoured(p) for p in products]
        total = sum(parts) + (favoured(b) if absorb else 0)
        return [p / total * r if side != 0 else 0.0 for p in parts]

    return share


def box(low: float, high: float) -> Share:
    def share(x: list[float], w: list[float], b: float, r: float, _: float) -> list[float]:
        parts = [a * v - low * max(v, 0) - high * min(v, 0) for a, v in zip(x, w, strict=True)]
        total = sum(parts)
        return [part / total * r for part in parts]

    return share


def flat() -> Share:
    def share(x: list[float], w: list[float], b: float, r: float, _: float) -> list[float]:
        return [r / len(x)] * len(x)

    return share
