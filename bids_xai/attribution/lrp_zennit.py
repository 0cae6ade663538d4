"""The same rules by zennit, through its hooks and canonizers: an engine to compare with.

zennit has no rule for one-sided units (its alpha beta rule scales them), moves every denominator
away from zero by a stabiliser (1e-12 here unless the rule states one), and knows no layers but
those of torch. Its hooks and its folded batch norm are taken off again whatever happens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bids_xai.attribution import rules as package_rules
from bids_xai.attribution.steps import (
    Affine,
    Averaging,
    MaxAsAverage,
    Pass,
    Reweighted,
    Step,
    Weighted,
)
from bids_xai.errors import UsageError

STABILIZER = 1e-12
"""What stands for 0 in a denominator; below the resolution of any activation."""


def propagate(
    model: nn.Module,
    volumes: Tensor,
    steps: Sequence[Step],
    rules: Sequence[package_rules.Rule | None],
    start: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """Logits (n, classes) and relevance (n, channels, x, y, z).

    steps, rules : of the chain; relevance of the logits is ``start(logits)``
    Raises ``UsageError`` for a rule or layer that zennit does not have.
    """
    from zennit.core import Composite
    from zennit.rules import Pass as ZennitPass

    hooks: dict[nn.Module, Any] = {}
    for step, rule in zip(steps, rules, strict=True):
        if isinstance(step, Reweighted | MaxAsAverage):
            raise UsageError(f"zennit has no rule for {step.name}", fix="use the engine own")
        if isinstance(step, Averaging):
            hooks[step.layer] = translate(package_rules.Epsilon(bias="absorb"))
        elif isinstance(step, Affine) and rule is not None:
            hooks[step.layer] = translate(rule)
        elif isinstance(step, Pass):
            hooks[step.layer] = ZennitPass()
    folded = [step.norm for step in steps if isinstance(step, Weighted) and step.norm is not None]
    hooks |= {norm: ZennitPass() for norm in folded}
    composite = Composite(
        module_map=lambda ctx, name, module: hooks.get(module),
        canonizers=[_fold_canonizer()] if folded else [],
    )
    inputs = volumes.detach().clone().requires_grad_()
    try:
        with torch.set_grad_enabled(True), composite.context(model) as hooked:
            logits = hooked(inputs)
            (relevance,) = torch.autograd.grad(logits, inputs, start(logits.detach()))
    finally:
        composite.remove()  # also where registering failed half-way
    return logits.detach(), relevance


def translate(rule: package_rules.Rule) -> Any:
    """zennit's rule for one of ours."""
    from zennit import core, rules

    def dropped(bias: str) -> list[str]:
        return ["bias"] if bias == "ignore" else []

    match rule:
        case package_rules.ZPlus():
            return rules.AlphaBeta(1, 0, STABILIZER, dropped(rule.bias))
        case package_rules.AlphaBeta():
            stabilizer = rule.stabilizer or STABILIZER
            return rules.AlphaBeta(1 + rule.beta, rule.beta, stabilizer, dropped(rule.bias))
        case package_rules.Epsilon():
            epsilon = rule.epsilon or STABILIZER
            stabilize = core.Stabilizer(epsilon, norm_scale=rule.relative and rule.epsilon > 0)
            return rules.Epsilon(stabilize, dropped(rule.bias))
        case package_rules.Gamma():
            return rules.Gamma(rule.gamma, rule.stabilizer or STABILIZER, dropped(rule.bias))
        case package_rules.Flat():
            return rules.Flat(STABILIZER)
        case package_rules.Box(low=float() | int(), high=float() | int()):
            return rules.ZBox(rule.low, rule.high, rule.stabilizer or STABILIZER)
    raise UsageError(
        f"zennit has no rule for {rule}", fix="use the engine own, or state the bounds of the input"
    )


def _fold_canonizer() -> Any:
    """zennit's batch-norm folding, the emptied batch norm an exact identity."""
    from zennit.canonizers import SequentialMergeBatchNorm

    class Fold(SequentialMergeBatchNorm):  # type: ignore[misc]
        def register(self, linears: Any, batch_norm: nn.BatchNorm3d) -> None:
            super().register(linears, batch_norm)
            self.eps, batch_norm.eps = batch_norm.eps, 0.0

        def remove(self) -> None:
            super().remove()
            self.batch_norm.eps = self.eps

    return Fold()
