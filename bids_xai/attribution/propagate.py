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

ENGINES = ("own", "zennit")
FIRST = ("rule", "flat", "box")

OnLayer = Callable[[str, Tensor], None]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Which rule every layer gets, and where relevance starts.

    name : the method, for messages
    start : ``softmax``, ``probability`` or ``logit``
    convolutions : rules of the convolutions from the input to the output; with more or fewer
        convolutions than rules, the first, the last and those between keep their relative depth
    dense, pooling : rules of dense layers and of average pooling
    first : rule of the first layer with weights instead of its own
    batch_norm, max_pool : policies of :func:`~bids_xai.attribution.chain.build_steps`
    engine : ``own``, or ``zennit`` for the rules that it has
    check : raises ``UsageError`` where the rules do not hold for a network and its input
    """

    name: str
    start: str
    convolutions: tuple[Rule, ...]
    dense: Rule
    pooling: Rule
    first: Rule | None = None
    batch_norm: str = "fold"
    max_pool: str = "winner"
    engine: str = "own"
    check: Callable[[nn.Module, Tensor], None] | None = None


def uniform(
    rule: Rule,
    *,
    name: str,
    start: str,
    pooling: Rule | None = None,
    first: str = "rule",
    low: float | None = None,
    high: float | None = None,
    batch_norm: str = "fold",
    max_pool: str = "winner",
    engine: str = "own",
    check: Callable[[nn.Module, Tensor], None] | None = None,
) -> Recipe:
    """One rule for every layer with weights, but possibly the first.

    pooling : rule of average pooling; in proportion to its inputs unless told otherwise
    first : ``rule`` as the others, ``flat``, or ``box`` (z^B between ``low`` and ``high``)
    """
    if first not in FIRST:
        raise UsageError(f"Unknown rule of the first layer '{first}'", fix=f"use {_or(FIRST)}")
    if first != "box" and (low is not None or high is not None):
        raise UsageError(
            "Bounds of the input have no effect here", fix="leave low and high out, or first='box'"
        )
    firsts: dict[str, Rule | None] = {"rule": None, "flat": Flat(), "box": Box(low, high)}
    return Recipe(
        name=name,
        start=start,
        convolutions=(rule,),
        dense=rule,
        first=firsts[first],
        pooling=Epsilon(bias="ignore") if pooling is None else pooling,
        batch_norm=batch_norm,
        max_pool=max_pool,
        engine=engine,
        check=check,
    )


def propagate(
    model: nn.Module,
    volumes: Tensor,
    target: int | None,
    recipe: Recipe,
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
    if recipe.engine not in ENGINES:
        raise UsageError(f"Unknown engine '{recipe.engine}'", fix=f"use {_or(ENGINES)}")
    steps = build_steps(model, recipe.name, batch_norm=recipe.batch_norm, max_pool=recipe.max_pool)
    if recipe.check is not None:
        recipe.check(model, volumes)
    chosen = None if recipe.start == "softmax" else target
    rules = assign(steps, recipe)
    if recipe.engine == "zennit":
        if create_graph or on_layer is not None:
            raise UsageError("The engine zennit only gives relevance", fix="use the engine own")
        start = partial(start_relevance, start=recipe.start, target=chosen)
        return lrp_zennit.propagate(model, volumes, steps, rules, start)
    with torch.set_grad_enabled(create_graph):
        logits, kept = run_forward(steps, volumes)
        relevance = start_relevance(logits, recipe.start, chosen)
        return logits, take_back(steps, rules, kept, relevance, on_layer)


def run_forward(steps: Sequence[Step], volumes: Tensor) -> tuple[Tensor, list[Any]]:
    """The output of the last step, and what each step keeps for the way back.

    Without a graph, memory is used again where it can be: fresh memory costs more time than the
    arithmetic. ``volumes`` themselves are never written to.
    """
    kept: list[Any] = []
    x = volumes if torch.is_grad_enabled() else volumes.clone()
    for step in steps:
        x, keep = step.forward(x)
        kept.append(keep)
    return x, kept


def take_back(
    steps: Sequence[Step],
    rules: Sequence[Rule | None],
    kept: list[Any],
    relevance: Tensor,
    on_layer: OnLayer | None = None,
) -> Tensor:
    """Relevance of the input of the first step; ``kept`` is emptied and overwritten on the way."""
    if on_layer is not None:
        on_layer("output", relevance)
    for step, rule in zip(reversed(steps), reversed(rules), strict=True):
        keep = kept.pop()
        if isinstance(step, Affine) and rule is not None:
            relevance = rule(step, keep, relevance)
        elif isinstance(step, MaxPool):
            relevance = step.to_winner(keep, relevance)
        elif isinstance(step, Reshape):
            relevance = relevance.reshape(keep)
        if on_layer is not None:
            on_layer(f"input of {step.name}", relevance)
    return relevance


def assign(steps: Sequence[Step], recipe: Recipe) -> list[Rule | None]:
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


def _depth(position: int, n_convolutions: int, recipe: Recipe) -> int:
    """Which rule of the list convolution ``position`` gets; only the first gets the first."""
    last = len(recipe.convolutions) - 1
    if position == 0 or last == 0:
        return 0
    return max(1, position * last // (n_convolutions - 1))


def _or(names: Sequence[str]) -> str:
    return " or ".join(names)
