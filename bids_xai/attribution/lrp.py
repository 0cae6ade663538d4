"""Layer-wise relevance propagation: one function a method, which says what rule each layer gets.

A method here is written as the function from the shared
:class:`~bids_xai.attribution.lrp_options.LrpOptions`, and from options of its own, to a
:class:`~bids_xai.attribution.propagate.LrpRecipe`; :func:`lrp_method` makes it
``f(model, volumes, target, *, options) -> relevance (n, channels, x, y, z)``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import wraps
from typing import Any, NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn

from bids_xai.attribution.lrp_options import LrpOptions
from bids_xai.attribution.modes import explaining
from bids_xai.attribution.propagate import LrpRecipe, propagate, uniform
from bids_xai.attribution.rules import AlphaBeta, Box, Epsilon, Gamma, Rule
from bids_xai.errors import UsageError

SHARED = tuple(field.name for field in fields(LrpOptions))
"""Names of the options that the methods share."""

_BEHIND = {"zero_division": "start", "one_sided": "bias", "stabilizer": "high"}
"""Option of one method -> the shared one that it stands behind in records; others stand first."""


class LrpMethod(Protocol):
    """An attribution method that hands relevance down layer by layer.

    recipe : the function that was decorated: shared options, own options -> which rule each layer
        gets
    defaults : the shared options of the method unless the caller gives others
    """

    __signature__: inspect.Signature
    recipe: Callable[..., LrpRecipe]
    defaults: LrpOptions

    def __call__(
        self, model: nn.Module, volumes: Tensor, target: int = 1, **options: object
    ) -> Tensor: ...


def lrp_method(
    defaults: LrpOptions, *, without: Sequence[str] = ()
) -> Callable[[Callable[..., LrpRecipe]], LrpMethod]:
    """Decorate the function that turns options into a recipe: it becomes the attribution method.

    defaults : of the shared options, which the method takes as keywords beside its own
    without : shared options that have no effect in this method, so that it does not take them
    """

    def decorate(recipe: Callable[..., LrpRecipe]) -> LrpMethod:
        @wraps(recipe)
        def explained(
            model: nn.Module, volumes: Tensor, target: int = 1, **given: object
        ) -> Tensor:
            return propagate(model, volumes, target, _recipe(method, given))[1]

        del explained.__wrapped__  # its signature is that of the method
        method = cast(LrpMethod, explained)
        method.recipe, method.defaults = recipe, defaults
        method.__signature__ = _signature(explained, recipe, defaults, without)
        return method

    return decorate


def _recipe(method: LrpMethod, options: dict[str, Any]) -> LrpRecipe:
    """The recipe of a method under keyword options, its own and shared ones."""
    taken = inspect.signature(method.recipe).parameters
    shared = {name: value for name, value in options.items() if name not in taken}
    rest = {name: value for name, value in options.items() if name in taken}
    return method.recipe(replace(method.defaults, **shared), **rest)


def _signature(
    explained: Callable[..., Tensor],
    recipe: Callable[..., LrpRecipe],
    defaults: LrpOptions,
    without: Sequence[str],
) -> inspect.Signature:
    """Model, volumes and target, then all options by keyword, in the order that records keep."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = inspect.signature(recipe).parameters.values()
    special = {p.name: p for p in parameters if p.kind is keyword}
    ordered = [p for p in special.values() if p.name not in _BEHIND]
    for name in SHARED:
        if name not in special and name not in without:
            default = getattr(defaults, name)
            ordered.append(inspect.Parameter(name, keyword, default=default))
        ordered += [p for p in special.values() if _BEHIND.get(p.name) == name]
    positional = list(inspect.signature(explained).parameters.values())[:3]
    return inspect.Signature([*positional, *ordered], return_annotation="Tensor")


@lrp_method(LrpOptions(start="probability", bias="ignore"))
def lrp_alphabeta(
    options: LrpOptions, *, beta: float = 0.0, one_sided: str = "keep", stabilizer: float = 0.0
) -> LrpRecipe:
    r"""alpha beta rule with :math:`\alpha = 1 + \beta`, any beta >= 0, inputs of any sign.

    Starts at the probability of ``target`` (Boehle et al. 2019: that of Alzheimer's disease for
    everybody) and sums to it, but for units that nothing feeds; signed if beta > 0 or any input
    of a layer is negative. Eitel et al. 2021 take beta 4 with ``start`` ``logit``.
    """
    rule = AlphaBeta(beta, options.bias, one_sided, stabilizer)
    return uniform("lrp-alphabeta", rule, options, pooling=AlphaBeta(beta))


@lrp_method(LrpOptions())
def lrp_zero(options: LrpOptions) -> LrpRecipe:
    """LRP-0: every unit's relevance in proportion to what its inputs contribute, signs kept.

    Starts at the logit of ``target``; with biases absorbed, it and they together sum to it, and in
    a network of ReLU and max-pooling it equals input x gradient. With biases ignored nothing keeps
    small denominators from blowing up.
    """
    return uniform("lrp-0", Epsilon(bias=options.bias), options)


@lrp_method(LrpOptions())
def lrp_epsilon(
    options: LrpOptions, *, epsilon: float = 0.001, relative: bool = False
) -> LrpRecipe:
    """LRP-epsilon: as LRP-0, epsilon takes relevance where contributions cancel.

    Defaults of Eitel et al. 2019: start at the logit, epsilon 0.001, an absolute number;
    ``relative`` makes it a share of the root mean square of each layer's outputs. Sums to less
    than the logit by what biases and epsilon keep.
    """
    return uniform("lrp-epsilon", Epsilon(epsilon, relative, options.bias), options)


@lrp_method(LrpOptions())
def lrp_gamma(options: LrpOptions, *, gamma: float = 0.25, stabilizer: float = 0.0) -> LrpRecipe:
    """LRP-gamma: positive contributions favoured by gamma; 0 is LRP-0, infinity would be z+.

    Starts at the logit of ``target``; sums to it less what biases keep.
    """
    return uniform("lrp-gamma", Gamma(gamma, options.bias, stabilizer), options)


@lrp_method(LrpOptions(), without=["first"])
def lrp_composite_1(
    options: LrpOptions,
    *,
    low: float | None = None,
    high: float | None = None,
    gamma: float = 0.25,
    epsilon: float = 0.0025,
) -> LrpRecipe:
    """Composite 1: convolutions z^B, gamma, epsilon, epsilon, 0, 0; max-pooling to the winner.

    The table of the thesis is for six convolutions; with more or fewer, the first is z^B and the
    others take the rule of their relative depth. Dense layers LRP-0. Starts at the logit of
    ``target``; sums to it less what biases and epsilon keep.
    """
    lower, middle = Gamma(gamma, options.bias), Epsilon(epsilon, bias=options.bias)
    return _composite("lrp-composite-1", Box(low, high), (lower, middle, middle), options)


@lrp_method(LrpOptions(max_pool="average"), without=["first"])
def lrp_composite_2(
    options: LrpOptions,
    *,
    low: float | None = None,
    high: float | None = None,
    gamma: float = 0.25,
    epsilon: float = 0.0025,
) -> LrpRecipe:
    """Composite 2: convolutions z^B, gamma, gamma, epsilon, 0, 0; max-pooling shared as average.

    Otherwise as composite 1.
    """
    lower, middle = Gamma(gamma, options.bias), Epsilon(epsilon, bias=options.bias)
    return _composite("lrp-composite-2", Box(low, high), (lower, lower, middle), options)


@lrp_method(LrpOptions(max_pool="average"), without=["first"])
def lrp_composite_3(
    options: LrpOptions,
    *,
    low: float | None = None,
    high: float | None = None,
    beta: float = 0.0,
    epsilon: float = 0.0025,
) -> LrpRecipe:
    """Composite 3: convolutions z^B, alpha beta (1, 0) twice, epsilon, 0, 0; max-pooling average.

    Otherwise as composite 1.
    """
    lower, middle = AlphaBeta(beta, options.bias), Epsilon(epsilon, bias=options.bias)
    return _composite("lrp-composite-3", Box(low, high), (lower, lower, middle), options)


def _composite(name: str, first: Box, lower: tuple[Rule, ...], options: LrpOptions) -> LrpRecipe:
    """z^B, then ``lower`` for the second to fourth of six convolutions, then LRP-0."""
    upper = Epsilon(bias=options.bias)
    return LrpRecipe(
        name=name,
        options=options,
        convolutions=(first, *lower, upper, upper),
        dense=upper,
        pooling=Epsilon(bias="ignore"),
        first=first,
    )


class RelevanceSum(NamedTuple):
    """Sum of relevance (n,) at one place of the network."""

    layer: str
    sums: Tensor


def conservation(
    name: str, model: nn.Module, volumes: Tensor, target: int = 1, **options: object
) -> list[RelevanceSum]:
    """The sum of relevance of every volume at the output and at the input of each layer.

    name, options : an LRP method of ``METHODS`` and its options
    volumes : (n, channels, x, y, z); sums are taken in double precision
    Where two sums in a row differ, that layer's biases, stabiliser or unfed units kept the rest.
    Raises ``UsageError`` for a method that propagates no relevance.
    """
    sums: list[RelevanceSum] = []

    def add(layer: str, relevance: Tensor) -> None:
        sums.append(RelevanceSum(layer, relevance.flatten(1).sum(dim=1, dtype=torch.float64)))

    with explaining(model, volumes):
        propagate(model, volumes.detach(), target, recipe_of(name, **options), on_layer=add)
    return sums


def recipe_of(name: str, **options: object) -> LrpRecipe:
    """The recipe of an LRP method of ``METHODS`` under some options."""
    from bids_xai.attribution import METHODS, check_options, resolve

    check_options(name, options)
    method = resolve(name)
    if not hasattr(method, "recipe"):
        lrp = [key for key in METHODS if hasattr(resolve(key), "recipe")]
        raise UsageError(f"'{name}' propagates no relevance", fix=f"use {', '.join(lrp)}")
    return _recipe(cast(LrpMethod, method), options)
