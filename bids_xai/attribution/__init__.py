"""Explanations of a network's output: one literal table, one file a family of methods.

Importing this package imports no torch. A method is a function
``f(model, volumes, target, *, options...) -> relevance`` that keeps shape, dtype and device;
:func:`explain` sees to it that model and input are left as found.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from bids_xai.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Method:
    """One row of ``METHODS``.

    function : ``module:function``, resolved on demand
    start : where relevance starts unless told otherwise: ``softmax`` (the full vector),
        ``probability`` or ``logit`` (of one class)
    signed : whether relevance can be negative
    source : where the method comes from
    """

    function: str
    start: str
    signed: bool
    source: str


METHODS: dict[str, Method] = {
    "lrp-zplus": Method(
        function="bids_xai.attribution.zplus:lrp_zplus",
        start="softmax",
        signed=False,
        source="Montavon et al. 2017; LRP with alpha 1, beta 0 (Bach et al. 2015)",
    ),
}


def explain(
    name: str, model: nn.Module, volumes: Tensor, target: int = 1, **options: object
) -> Tensor:
    """Relevance (n, 1, x, y, z) of ``volumes`` (n, 1, x, y, z), of their dtype and device.

    name : a key of ``METHODS``
    model : any network the method can walk through; run in evaluation mode, then left in the mode
        it was found in, with its parameters and their gradients untouched
    target : class that methods starting from one class explain; others do not depend on it
    options : keyword arguments of the method
    Raises ``UsageError`` for an unknown name or option.
    """
    if name not in METHODS:
        raise UsageError(f"Unknown attribution method '{name}'", fix=f"use {', '.join(METHODS)}")
    function = resolve(name)
    accepted = method_options(name)
    unknown = [option for option in options if option not in accepted]
    if unknown:
        raise UsageError(
            f"Attribution method '{name}' has no option {', '.join(unknown)}",
            fix=f"use {', '.join(accepted) or 'no option'}",
        )
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        return function(model, volumes.detach(), target, **options).detach()
    finally:
        for module, training in modes.items():
            module.training = training


def resolve(name: str) -> Callable[..., Tensor]:
    """The function behind a key of ``METHODS``."""
    module, _, attribute = METHODS[name].function.partition(":")
    return cast("Callable[..., Tensor]", getattr(import_module(module), attribute))


def method_options(name: str) -> dict[str, Any]:
    """The options of a method with their defaults (its keyword-only arguments)."""
    parameters = inspect.signature(resolve(name)).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
