"""Which weights are trained, by what, and with which penalty."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn, optim

from bids_xai.errors import UsageError
from bids_xai.training.recipe import Recipe

Penalty = tuple[nn.Parameter, float]

_BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)


def build_optimizer(model: nn.Module, recipe: Recipe) -> optim.Optimizer:
    """The optimizer of the weights that are trained; ``UsageError`` where there are none."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        raise UsageError("Every layer is frozen: nothing is left to train", fix="freeze fewer")
    rate, decay = recipe.learning_rate, recipe.weight_decay
    match recipe.optimizer:
        case "adamw":
            return optim.AdamW(trained, lr=rate, weight_decay=decay)
        case "sgd":
            return optim.SGD(trained, lr=rate, weight_decay=decay, momentum=recipe.momentum)
        case _:
            return optim.Adam(trained, lr=rate, weight_decay=decay)


def below(names: Iterable[str], layers: Sequence[str]) -> list[str]:
    """Those ``names`` (``layers.0.weight``) that are, or lie below, one of ``layers``.

    ``layers.1`` holds ``layers.1.weight``, not ``layers.10.weight``. Raises ``UsageError`` for a
    layer without a name.
    """
    names = list(names)
    selected: set[str] = set()
    for layer in layers:
        inside = [name for name in names if name == layer or name.startswith(f"{layer}.")]
        if not inside:
            top = sorted({name.rpartition(".")[0] for name in names})
            raise UsageError(
                f"The network has no layer '{layer}' with weights", fix=f"use {', '.join(top)}"
            )
        selected.update(inside)
    return [name for name in names if name in selected]


@contextmanager
def frozen(model: nn.Module, layers: Sequence[str]) -> Iterator[None]:
    """Within it, the weights of ``layers`` take no gradients."""
    parameters = dict(model.named_parameters())
    parameters_of_layers = [parameters[name] for name in below(parameters, layers)]
    trained = [parameter for parameter in parameters_of_layers if parameter.requires_grad]
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def set_training_mode(model: nn.Module, layers: Sequence[str]) -> None:
    """Training mode for all but the batch norm of frozen ``layers``: its statistics stay."""
    model.train()
    for name, module in model.named_modules():
        if isinstance(module, _BATCH_NORM) and any(
            name == layer or name.startswith(f"{layer}.") for layer in layers
        ):
            module.eval()


def depends_on_batch(model: nn.Module, layers: Sequence[str]) -> str:
    """Why a step differs where its batch is taken in parts: a kind of layer; else empty.

    layers : frozen ones. Batch norm that learns takes its statistics from the scans at hand, and
    dropout draws anew for every part.
    """
    set_training_mode(model, layers)
    for module in model.modules():
        if module.training and isinstance(module, _BATCH_NORM):
            return "batch norm"
        if module.training and isinstance(module, _DROPOUT) and module.p > 0:
            return "dropout"
    return ""


def penalties(model: nn.Module) -> list[Penalty]:
    """Weights and factors of the L2 terms ``factor * sum(weight^2)`` that a network asks for.

    Its attribute ``l2`` maps names of layers, from the network or from its ``layers``, to
    factors. Biases are not penalised. Raises ``UsageError`` for a name that is no layer.
    """
    modules = dict(model.named_modules())
    penalised = []
    for name, factor in getattr(model, "l2", {}).items():
        layer = modules.get(name, modules.get(f"layers.{name}"))
        weight = getattr(layer, "weight", None)
        if not isinstance(weight, nn.Parameter):
            raise UsageError(
                f"The network asks for a penalty of '{name}', which is not a layer with weights",
                fix="correct the names in its attribute l2",
            )
        penalised.append((weight, float(factor)))
    return penalised


@torch.no_grad()
def add_penalty_gradients(penalised: Sequence[Penalty]) -> None:
    """Add ``2 * factor * weight``, the gradient of the penalty, to gradients in place."""
    for weight, factor in penalised:
        if weight.grad is not None:
            weight.grad.add_(weight, alpha=2 * factor)
