"""Relevance of the same volumes again and again, while layers of the network change.

Below the lowest layer that changed, a network does what it did before. Layer-wise relevance
propagation then begins its forward pass at that layer, and on the way back the sums that a rule
divides by are at hand for all layers below it. Other methods are run as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from bids_xai.attribution import explain
from bids_xai.attribution.layers import Change
from bids_xai.attribution.lrp import recipe_of
from bids_xai.attribution.modes import explaining
from bids_xai.attribution.propagate import LrpRecipe, assign, run_forward, take_back
from bids_xai.attribution.start import start_relevance
from bids_xai.attribution.steps import Affine, Step, Weighted
from bids_xai.errors import UsageError

Explain = Callable[[int], Tensor]
"""From the lowest position in the chain that changed to relevance (n, channels, x, y, z)."""


def explain_again(
    name: str, model: nn.Module, volumes: Tensor, target: int = 1, **options: object
) -> Explain:
    """Return what explains volumes by a network whose layers change from call to call.

    Every call takes the position in the chain (:func:`bids_xai.attribution.layers.unroll`) of the
    lowest layer that is not as it is now, and returns what
    :func:`bids_xai.attribution.explain` would. Arguments and errors are those of that function.
    """
    try:
        recipe = recipe_of(name, **options)
    except UsageError:
        recipe = None
    if recipe is None or recipe.engine != "own" or volumes.ndim != 5:
        return lambda lowest: explain(name, model, volumes, target, **options)
    kept = _KeptPass(model, volumes.detach(), target, recipe)
    return kept.relevance


class _KeptPass:
    """A forward pass through a network, and what rules took from it.

    Keeps the inputs of all layers, and twice that for the rules: in all about three times what one
    explanation takes.
    """

    def __init__(self, model: nn.Module, volumes: Tensor, target: int, recipe: LrpRecipe) -> None:
        self._model, self._volumes, self._recipe = model, volumes, recipe
        self._start = recipe.options.start
        self._target = None if self._start == "softmax" else target
        with explaining(model, volumes), torch.no_grad():
            if recipe.check is not None:
                recipe.check(model, volumes)
            steps = recipe.steps(model)
            _, self._caches = run_forward(steps, volumes)
        self._rules = assign(steps, recipe)
        self._kept = [_Recalled(s.name, s) if isinstance(s, Weighted) else s for s in steps]

    def relevance(self, lowest: int) -> Tensor:
        """Relevance by the network as it is now, all as before below position ``lowest``."""
        with explaining(self._model, self._volumes), torch.no_grad():
            steps = self._recipe.steps(self._model)
            first = next(i for i, step in enumerate(steps) if _position(step) == lowest)
            logits, caches = run_forward(steps[first:], self._caches[first])
            relevance = start_relevance(logits, self._start, self._target)
            relevance = take_back(steps[first:], self._rules[first:], caches, relevance)
        # with gradients, but nothing that has any: so rules do not write over what is kept
        with torch.set_grad_enabled(True):
            return take_back(
                self._kept[:first], self._rules[:first], self._caches[:first], relevance
            )


@dataclass(frozen=True)
class _Recalled(Affine):
    """A step with weights that remembers what it made of which input."""

    name: str
    step: Weighted
    memory: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list)
    raised_before: list[tuple[Tensor, float, Tensor]] = field(default_factory=list)

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        """As the step."""
        return self.step.forward(x)

    @torch.no_grad()
    def apply(self, x: Tensor, change: Change | None = None) -> Tensor:
        """As the step; the result stays in the memory and may not be written to."""
        weight = self.step.weight if change is None else change(self.step.weight)
        for weights, inputs, result in self.memory:
            if torch.equal(weights, weight) and (inputs is x or torch.equal(inputs, x)):
                return result
        result = self.step.apply(x, change)
        self.memory.append((weight, x, result))
        return result

    @torch.no_grad()
    def transpose(self, s: Tensor, like: Tensor, change: Change | None = None) -> Tensor:
        """As the step."""
        return self.step.transpose(s, like, change)

    @torch.no_grad()
    def bias(self, like: Tensor) -> Tensor | None:
        """As the step."""
        offset = self.step.bias(like)
        return None if offset is None else offset.detach()

    def raised(self, x: Tensor, floor: float) -> Tensor:
        """As the step, but not written over ``x``: the same tensor for the input kept."""
        for inputs, least, result in self.raised_before:
            if inputs is x and least == floor:
                return result
        result = x.clamp(min=floor)
        self.raised_before.append((x, floor, result))
        return result


def _position(step: Step) -> int:
    """The position of a step's layer in the chain."""
    return int(step.name.split()[0])
