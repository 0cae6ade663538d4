"""Does a heatmap depend on what the network has learnt? Layers are made random, one after another.

From the output down, the weights of a layer are replaced by those of an untrained network of the
same kind: all layers down to it (``cascading``), or it alone (``independent``). A method whose map
stays the same whatever the weights are shows the image, not the network.

Source: Adebayo et al. 2018.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bids_xai.attribution.layers import Norm, is_affine, unroll
from bids_xai.attribution.randomization_verdict import LIMIT as LIMIT
from bids_xai.attribution.randomization_verdict import verdict as verdict
from bids_xai.errors import UsageError

MODES = ("cascading", "independent")


@dataclass(frozen=True)
class WeightedLayer:
    """A layer with weights, and the batch norm that follows it.

    name : its position in the chain and its kind; positions : of all its parts in the chain
    """

    name: str
    positions: tuple[int, ...]


Layer = WeightedLayer
"""Former name of :class:`WeightedLayer`."""


def weighted_layers(model: nn.Module) -> list[WeightedLayer]:
    """The layers with weights from the output to the input.

    Raises ``UsageError`` for a network that has none in its chain.
    """
    layers: list[WeightedLayer] = []
    leaves = unroll(model)
    for position, leaf in enumerate(leaves):
        after = leaves[position + 1 : position + 2]
        if is_affine(leaf):
            parts = (
                (position, position + 1) if after and isinstance(after[0], Norm) else (position,)
            )
            layers.append(WeightedLayer(f"{position} {type(leaf).__name__}", parts))
    if not layers:
        raise UsageError(
            f"The network {type(model).__name__} has no known layer with weights",
            fix="use a network of bids_xai.models",
        )
    return layers[::-1]


def stages(model: nn.Module, mode: str) -> list[tuple[WeightedLayer, list[WeightedLayer]]]:
    """What to make random, stage by stage: the layer that the stage is named after, and all layers.

    mode : ``cascading`` (all layers from the output down to it) or ``independent`` (it alone)
    """
    if mode not in MODES:
        raise UsageError(f"Unknown mode '{mode}'", fix=f"use {' or '.join(MODES)}")
    layers = weighted_layers(model)
    if mode == "independent":
        return [(layer, [layer]) for layer in layers]
    return [(layer, layers[: number + 1]) for number, layer in enumerate(layers)]


@contextmanager
def randomised(
    model: nn.Module, untrained: nn.Module, layers: Sequence[WeightedLayer]
) -> Iterator[None]:
    """Within it, ``layers`` of ``model`` have the weights of ``untrained``, a network of its kind.

    Afterwards, also after an error, every tensor of the model is as it was, bit for bit. Raises
    ``UsageError`` where the networks differ in their layers.
    """
    ours, theirs = unroll(model), unroll(untrained)
    pairs = [(ours[p], theirs[p]) for layer in layers for p in layer.positions if p < len(theirs)]
    if len(ours) != len(theirs) or not all(map(_alike, *zip(*pairs, strict=True))):
        raise UsageError(
            "The layers of the untrained network differ from those of the network to be randomised",
            fix="build it with the same options",
        )
    before = [
        {name: t.detach().clone() for name, t in layer.state_dict().items()} for layer, _ in pairs
    ]
    try:
        for layer, other in pairs:
            _fill(layer, other.state_dict())
        yield
    finally:
        for (layer, _), tensors in zip(pairs, before, strict=True):
            _fill(layer, tensors)


def _alike(trained: nn.Module, other: nn.Module) -> bool:
    shapes = [{k: t.shape for k, t in network.state_dict().items()} for network in (trained, other)]
    return type(trained) is type(other) and shapes[0] == shapes[1]


@torch.no_grad()
def _fill(layer: nn.Module, tensors: dict[str, Tensor]) -> None:
    for name, tensor in layer.state_dict().items():  # shares its memory with the layer
        tensor.copy_(tensors[name])
