"""Starting from a network that was trained on something else."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from bids_xai.errors import BadDataError
from bids_xai.models.card import ModelCard, load_model
from bids_xai.training.checkpoint import Tensors
from bids_xai.training.parameters import below

_SHOWN = 10


@dataclass(frozen=True)
class Pretrained:
    """What was taken over.

    card : of the model that it came from
    copied : names of the tensors
    left : names of those that keep their initial values: not asked for, or of the output layer
    """

    card: ModelCard
    copied: tuple[str, ...]
    left: tuple[str, ...]


def load_pretrained(
    model: nn.Module, card_folder: str | os.PathLike[str], *, layers: str | Sequence[str] = "all"
) -> Pretrained:
    """Copy weights of a saved model into ``model``, in place.

    card_folder : folder of a saved model, or its ``model.json``
    layers : names of layers (``layers.0``); ``all``, or none, for all of them
    The output layer, the last one with weights, may differ where the numbers of classes do; it
    then keeps its initial values. Every other tensor asked for must be there in the same shape.
    Raises ``BadDataError`` for one that is not, ``UsageError`` for a layer that does not exist,
    and what :func:`~bids_xai.models.card.load_model` raises.
    """
    source, card = load_model(card_folder)
    given, needed = source.state_dict(), model.state_dict()
    take_all = layers == "all" or not layers
    names = list(needed | given) if take_all else below(needed, _as_list(layers))
    last = _output_layer(model)
    copied = []
    for name in names:
        if _same_shape(needed.get(name), given.get(name)):
            copied.append(name)
        elif not (name.startswith(f"{last}.") and _other_classes(needed, given, name)):
            raise BadDataError(
                f"The pretrained '{name}' has shape {_shape(given, name)}, the network asks for "
                f"{_shape(needed, name)}",
                file=card_folder,
                fix="train on the same grid with the same network, or name the layers to transfer",
            )
    for name in copied:
        needed[name].copy_(given[name])
    left = tuple(name for name in needed if name not in copied)
    return Pretrained(card=card, copied=tuple(copied), left=left)


def check_disjoint(trained_on: Iterable[str], test_participants: Iterable[str]) -> None:
    """Raise ``BadDataError`` with the names of test participants that training has seen."""
    both = sorted(set(trained_on) & set(test_participants))
    if both:
        more = f" and {len(both) - _SHOWN} more" if len(both) > _SHOWN else ""
        raise BadDataError(
            f"{len(both)} participant(s) of the test set were trained on: "
            f"{', '.join(both[:_SHOWN])}{more}",
            fix="exclude them from the test set, or start from another model",
        )


def _as_list(layers: str | Sequence[str]) -> list[str]:
    return [layers] if isinstance(layers, str) else list(layers)


def _same_shape(tensor: Tensor | None, other: Tensor | None) -> bool:
    return tensor is not None and other is not None and tensor.shape == other.shape


def _other_classes(needed: Tensors, given: Tensors, name: str) -> bool:
    """Whether both have the tensor, and differ in its first axis, the classes, alone."""
    return name in needed and name in given and needed[name].shape[1:] == given[name].shape[1:]


def _shape(tensors: Tensors, name: str) -> tuple[int, ...] | str:
    return tuple(tensors[name].shape) if name in tensors else "none"


def _output_layer(model: nn.Module) -> str:
    """Name of the last dense or convolutional layer."""
    weighted = [
        name for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv3d)
    ]
    return weighted[-1] if weighted else ""
