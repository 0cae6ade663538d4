"""Layer-wise relevance propagation: one function a method, which says what rule each layer gets.

A method here is written as the function from its options to a
:class:`~bids_xai.attribution.propagate.Recipe`; :func:`lrp_method` makes it
``f(model, volumes, target, *, options) -> relevance (n, channels, x, y, z)``.

Options that all of them have

- ``start``: ``softmax`` (the whole vector), ``probability`` or ``logit`` of class ``target``.
- ``bias``: ``ignore`` (relevance sums to the start) or ``absorb`` (the textbook: biases keep their
  share).
- ``batch_norm``: ``fold`` into the layer before, or ``identity``: relevance passes it unchanged.
- ``max_pool``: to the ``winner``, or shared as in ``average`` pooling.
- ``first``: ``rule`` as the others, ``flat``, or ``box`` (z^B between ``low`` and ``high``; None is
  the lowest and highest value of each volume).
- ``engine``: ``own``, or ``zennit`` for the rules and layers that it has.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bids_xai.attribution.modes import explaining
from bids_xai.attribution.propagate import Recipe, propagate, uniform
from bids_xai.attribution.rules import AlphaBeta, Box, Epsilon, Gamma, Rule
from bids_xai.errors import UsageError


def lrp_method(recipe: Callable[..., Recipe]) -> Callable[..., Tensor]:
    """The attribution method of a function that turns options into a recipe.

    It keeps the options' names and defaults; :func:`recipe_of` gets the recipe back.
    """

    @wraps(recipe)
    def method(model: nn.Module, volumes: Tensor, target: int = 1, **options: object) -> Tensor:
        return propagate(model, volumes, target, recipe(**options))[1]

    return method


@lrp_method
def lrp_alphabeta(
    *,
    beta: float = 0.0,
    start: str = "probability",
    bias: str = "ignore",
    one_sided: str = "keep",
    batch_norm: str = "fold",
    max_pool: str = "winner",
    first: str = "rule",
    low: float | None = None,
    high: float | None = None,
    stabilizer: float = 0.0,
    engine: str = "own",
) -> Recipe:
    r"""alpha beta rule with :math:`\alpha = 1 + \beta`, any beta >= 0, inputs of any sign.

    Starts at the probability of ``target`` (Boehle et al. 2019: that of Alzheimer's disease for
    everybody) and sums to it, but for units that nothing feeds; signed if beta > 0 or any input
    of a layer is negative. Eitel et al. 2021 take beta 4 with ``start`` ``logit``.
    """
    rule = AlphaBeta(beta, bias, one_sided, stabilizer)
    return uniform(
        rule,
        name="lrp-alphabeta",
        start=start,
        pooling=AlphaBeta(beta),
        first=first,
        low=low,
        high=high,
        batch_norm=batch_norm,
        max_pool=max_pool,
        engine=engine,
    )


@lrp_method
def lrp_zero(
    *,
    start: str = "logit",
    bias: str = "absorb",
    batch_norm: str = "fold",
    max_pool: str = "winner",
    first: str = "rule",
    low: float | None = None,
    high: float | None = None,
    engine: str = "own",
) -> Recipe:
    """LRP-0: every unit's relevance in proportion to what its inputs contribute, signs kept.

    Starts at the logit of ``target``; with biases absorbed, it and they together sum to it, and in
    a network of ReLU and max-pooling it equals input x gradient. With biases ignored nothing keeps
    small denominators from blowing up.
    """
    return uniform(
        Epsilon(bias=bias),
        name="lrp-0",
        start=start,
        first=first,
        low=low,
        high=high,
        batch_norm=batch_norm,
        max_pool=max_pool,
        engine=engine,
    )


@lrp_method
def lrp_epsilon(
    *,
    epsilon: float = 0.001,
    relative: bool = False,
    start: str = "logit",
    bias: str = "absorb",
    batch_norm: str = "fold",
    max_pool: str = "winner",
    first: str = "rule",
    low: float | None = None,
    high: float | None = None,
    engine: str = "own",
) -> Recipe:
    """LRP-epsilon: as LRP-0, epsilon takes relevance where contributions cancel.

    Defaults of Eitel et al. 2019: start at the logit, epsilon 0.001, an absolute number;
    ``relative`` makes it a share of the root mean square of each layer's outputs. Sums to less
    than the logit by what biases and epsilon keep.
    """
    return uniform(
        Epsilon(epsilon, relative, bias),
        name="lrp-epsilon",
        start=start,
        first=first,
        low=low,
        high=high,
        batch_norm=batch_norm,
        max_pool=max_pool,
        engine=engine,
    )


@lrp_method
def lrp_gamma(
    *,
    gamma: float = 0.25,
    start: str = "logit",
    bias: str = "absorb",
    batch_norm: str = "fold",
    max_pool: str = "winner",
    first: str = "rule",
    low: float | None = None,
    high: float | None = None,
    stabilizer: float = 0.0,
    engine: str = "own",
) -> Recipe:
    """LRP-gamma: positive contributions favoured by gamma; 0 is LRP-0, infinity would be z+.

    Starts at the logit of ``target``; sums to it less what biases keep.
    """
    return uniform(
        Gamma(gamma, bias, stabilizer),
        name="lrp-gamma",
        start=start,
        first=first,
        low=low,
        high=high,
        batch_norm=batch_norm,
        max_pool=max_pool,
        engine=engine,
    )


@lrp_method
def lrp_composite_1(
    *,
    low: float | None = None,
    high: float | None = None,
    gamma: float = 0.25,
    epsilon: float = 0.0025,
    start: str = "logit",
    bias: str = "absorb",
    batch_norm: str = "fold",
    max_pool: str = "winner",
    engine: str = "own",
) -> Recipe:
    """Composite 1: convolutions z^B, gamma, epsilon, epsilon, 0, 0; max-pooling to the winner.

    The table of the thesis is for six convolutions; with more or fewer, the first is z^B and the
    others take the rule of their relative depth. Dense layers LRP-0. Starts at the logit of
    ``target``; sums to it less what biases and epsilon keep.
    """
    lower, middle = Gamma(gamma, bias), Epsilon(epsilon, bias=bias)
    return _composite(
        "lrp-composite-1",
        (lower, middle, middle),
        start,
        bias,
        low,
        high,
        batch_norm,
        max_pool,
        engine,
    )


@lrp_method
def lrp_composite_2(
    *,
    low: float | None = None,
    high: float | None = None,
    gamma: float = 0.25,
    epsilon: float = 0.0025,
    start: str = "logit",
    bias: str = "absorb",
    batch_norm: str = "fold",
    max_pool: str = "average",
    engine: str = "own",
) -> Recipe:
    """Composite 2: convolutions z^B, gamma, gamma, epsilon, 0, 0; max-pooling shared as average.

    Otherwise as composite 1.
    """
    lower, middle = Gamma(gamma, bias), Epsilon(epsilon, bias=bias)
    return _composite(
        "lrp-composite-2",
        (lower, lower, middle),
        start,
        bias,
        low,
        high,
        batch_norm,
        max_pool,
        engine,
    )


@lrp_method
def lrp_composite_3(
    *,
    low: float | None = None,
    high: float | None = None,
    beta: float = 0.0,
    epsilon: float = 0.0025,
    start: str = "logit",
    bias: str = "absorb",
    batch_norm: str = "fold",
    max_pool: str = "average",
    engine: str = "own",
) -> Recipe:
    """Composite 3: convolutions z^B, alpha beta (1, 0) twice, epsilon, 0, 0; max-pooling average.

    Otherwise as composite 1.
    """
    lower, middle = AlphaBeta(beta, bias), Epsilon(epsilon, bias=bias)
    return _composite(
        "lrp-composite-3",
        (lower, lower, middle),
        start,
        bias,
        low,
        high,
        batch_norm,
        max_pool,
        engine,
    )


def _composite(
    name: str,
    rules: tuple[Rule, ...],
    start: str,
    bias: str,
    low: float | None,
    high: float | None,
    batch_norm: str,
    max_pool: str,
    engine: str,
) -> Recipe:
    """z^B, then ``rules`` for the second to fourth of six convolutions, then LRP-0."""
    first, upper = Box(low, high), Epsilon(bias=bias)
    return Recipe(
        name=name,
        start=start,
        convolutions=(first, *rules, upper, upper),
        dense=upper,
        pooling=Epsilon(bias="ignore"),
        first=first,
        batch_norm=batch_norm,
        max_pool=max_pool,
        engine=engine,
    )


class LayerSum(NamedTuple):
    """Sum of relevance (n,) at one place of the network."""

    layer: str
    sums: Tensor


def conservation(
    name: str, model: nn.Module, volumes: Tensor, target: int = 1, **options: object
) -> list[LayerSum]:
    """The sum of relevance of every volume at the output and at the input of each layer.

    name, options : an LRP method of ``METHODS`` and its options
    volumes : (n, channels, x, y, z); sums are taken in double precision
    Where two sums in a row differ, that layer's biases, stabiliser or unfed units kept the rest.
    Raises ``UsageError`` for a method that propagates no relevance.
    """
    found: list[LayerSum] = []

    def add(layer: str, relevance: Tensor) -> None:
        found.append(LayerSum(layer, relevance.flatten(1).sum(dim=1, dtype=torch.float64)))

    with explaining(model, volumes):
        propagate(model, volumes.detach(), target, recipe_of(name, **options), on_layer=add)
    return found


def recipe_of(name: str, **options: object) -> Recipe:
    """The recipe of an LRP method of ``METHODS`` under some options."""
    from bids_xai.attribution import METHODS, check_options, resolve

    check_options(name, options)
    recipe: Callable[..., Recipe] | None = getattr(resolve(name), "__wrapped__", None)
    if recipe is None:
        lrp = [method for method in METHODS if hasattr(resolve(method), "__wrapped__")]
        raise UsageError(f"'{name}' propagates no relevance", fix=f"use {', '.join(lrp)}")
    return recipe(**options)
