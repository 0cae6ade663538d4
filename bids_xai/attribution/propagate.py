"""Relevance propagation along a chain: one forward pass, then one rule a layer, back to the input.

Only what the rules need of the forward pass is kept (the inputs of affine layers, the winners of
max-pooling), and it is let go on the way back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bids_xai.attribution import lrp_zennit
from bids_xai.attribution.chain import build_steps
from bids_xai.attribution.lrp_options import LrpOptions
from bids_xai.attribution.rules import Box, Epsilon, Flat, Rule
from bids_xai.attribution.start import start_relevance
from bids_xai.attribution.steps import (
    Affine,
    Averaging,
    Convolution,
    Dense,
    MaxPool,
    Reshape,
    Reweighted,
    Step,
)
from bids_xai.errors import UsageError

OnLayer = Callable[[str, Tensor], None]


@dataclass(frozen=True, kw_only=True)
class LrpRecipe:
    """Which rule every layer gets.

    name : the method, for messages
    options : what all methods share, the start among them
    convolutions : rules of the convolutions from the input to the output; with more or fewer
        convolutions than rules, the first, the last and those between keep their relative depth
    dense, pooling : rules of dense layers and of average pooling
    first : rule of the first layer with weights instead of its own
    check : raises ``UsageError`` where the rules do not hold for a network and its input
    """

    name: str
    options: LrpOptions
    convolutions: tuple[Rule, ...]
    dense: Rule
    pooling: Rule
    first: Rule | None = None
    check: Callable[[nn.Module, Tensor], None] | None = None

    @property
    def engine(self) -> str:
        """``own`` or ``zennit``."""
        return self.options.engine

    def steps(self, model: nn.Module) -> list[Step]:
        """The steps of a network under the policies of the options."""
        policies = self.options
        return build_steps(
            model, self.name, batch_norm=policies.batch_norm, max_pool=policies.max_pool
        )


def uniform(
    name: str,
    rule: Rule,
    options: LrpOptions,
    *,
    pooling: Rule | None = None,
    check: Callable[[nn.Module, Tensor], None] | None = None,
) -> LrpRecipe:
    """One rule for every layer with weights, but possibly the first.

    pooling : rule of average pooling; in proportion to its inputs unless told otherwise
    """
    firsts = {"rule": None, "flat": Flat(), "box": Box(options.low, options.high)}
    return LrpRecipe(
        name=name,
        options=options,
        convolutions=(rule,),
        dense=rule,
        first=firsts[options.first],
        pooling=Epsilon(bias="ignore") if pooling is None else pooling,
        check=check,
    )


def propagate(
    model: nn.Module,
    volumes: Tensor,
    target: int | None,
    recipe: LrpRecipe,
    *,
    create_graph: bool = False,
    on_layer: OnLayer | None = None,
) -> tuple[Tensor, Tensor]:
    """Logits (n, classes) and relevance (n, channels, x, y, z) of ``volumes``.

    target : class of the start; without effect for the start ``softmax``
    create_graph : keep the graph, so that a loss of the relevance can be trained on
    on_layer : called with a name and the relevance at the output and at the input of every step
    Raises ``UsageError`` for a network or an option that the rules do not cover.
    """
    steps = recipe.steps(model)
    if recipe.check is not None:
        recipe.check(model, volumes)
    start_name = recipe.options.start
    start_class = None if start_name == "softmax" else target
    rules = assign(steps, recipe)
    if recipe.engine == "zennit":
        if create_graph or on_layer is not None:
            raise UsageError("The engine zennit only gives relevance", fix="use the engine own")
        start = partial(start_relevance, start=start_name, target=start_class)
        return lrp_zennit.propagate(model, volumes, steps, rules, start)
    with torch.set_grad_enabled(create_graph):
        logits, caches = run_forward(steps, volumes)
        relevance = start_relevance(logits, start_name, start_class)
        return logits, take_back(steps, rules, caches, relevance, on_layer)


def run_forward(steps: Sequence[Step], volumes: Tensor) -> tuple[Tensor, list[Any]]:
    """The output of the last step, and what each step keeps for the way back.

    Without a graph, memory is used again where it can be: fresh memory costs more time than the
    arithmetic. ``volumes`` themselves are never written to.
    """
    caches: list[Any] = []
    x = volumes if torch.is_grad_enabled() else volumes.clone()
    for step in steps:
        x, cache = step.forward(x)
        caches.append(cache)
    return x, caches


def take_back(
    steps: Sequence[Step],
    rules: Sequence[Rule | None],
    caches: list[Any],
    relevance: Tensor,
    on_layer: OnLayer | None = None,
) -> Tensor:
    """Relevance of the input of the first step; ``caches`` is emptied and overwritten."""
    if on_layer is not None:
        on_layer("output", relevance)
    for step, rule in zip(reversed(steps), reversed(rules), strict=True):
        cache = caches.pop()
        if isinstance(step, Affine) and rule is not None:
            relevance = rule(step, cache, relevance)
        elif isinstance(step, MaxPool):
            relevance = step.to_winner(cache, relevance)
        elif isinstance(step, Reshape):
            relevance = relevance.reshape(cache)
        if on_layer is not None:
            on_layer(f"input of {step.name}", relevance)
    return relevance


def assign(steps: Sequence[Step], recipe: LrpRecipe) -> list[Rule | None]:
    """The rule of every step; none for those without weights."""
    n_convolutions = sum(isinstance(step, Convolution | Reweighted) for step in steps)
    rules: list[Rule | None] = []
    seen = 0
    for step in steps:
        if isinstance(step, Convolution | Reweighted):
            rules.append(recipe.convolutions[_depth(seen, n_convolutions, recipe)])
            seen += 1
        elif isinstance(step, Dense):
            rules.append(recipe.dense)
        else:
            rules.append(recipe.pooling if isinstance(step, Averaging) else None)
    if recipe.first is not None:
        for position, step in enumerate(steps):
            if isinstance(step, Convolution | Reweighted | Dense):
                rules[position] = recipe.first
                break
    return rules


def _depth(position: int, n_convolutions: int, recipe: LrpRecipe) -> int:
    """Which rule of the list convolution ``position`` gets; only the first gets the first."""
    last = len(recipe.convolutions) - 1
    if position == 0 or last == 0:
        return 0
    return max(1, position * last // (n_convolutions - 1))
