"""The options that all methods of layer-wise relevance propagation share, in one record.

Beside it what each may be, and the checks that rules, steps and starts share with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bids_xai.errors import UsageError

STARTS = ("softmax", "probability", "logit")
BIAS = ("ignore", "absorb")
BATCH_NORM = ("fold", "identity")
MAX_POOL = ("winner", "average")
FIRST = ("rule", "flat", "box")
ENGINES = ("own", "zennit")


@dataclass(frozen=True, kw_only=True)
class LrpOptions:
    """Where relevance starts, and how it passes what is no matter of a method's own rules.

    start : ``softmax`` (the whole vector), ``probability`` or ``logit`` of class ``target``
    bias : ``ignore`` (relevance sums to the start) or ``absorb`` (the textbook: biases keep their
        share)
    batch_norm : ``fold`` into the layer before, or ``identity``: relevance passes it unchanged
    max_pool : to the ``winner``, or shared as in ``average`` pooling
    first : the first layer with weights follows the ``rule`` of the others, or is ``flat``, or
        ``box`` (z^B between ``low`` and ``high``)
    low, high : bounds of the input for ``box``; None is the lowest and highest value of each volume
    engine : ``own``, or ``zennit`` for the rules and layers that it has
    Raises ``UsageError`` for a value that an option cannot have, and for bounds without ``box``.
    """

    start: str = "logit"
    bias: str = "absorb"
    batch_norm: str = "fold"
    max_pool: str = "winner"
    first: str = "rule"
    low: float | None = None
    high: float | None = None
    engine: str = "own"

    def __post_init__(self) -> None:
        check_start(self.start)
        check_choice("bias policy", self.bias, BIAS)
        check_choice("batch norm policy", self.batch_norm, BATCH_NORM)
        check_choice("max-pooling policy", self.max_pool, MAX_POOL)
        check_choice("rule of the first layer", self.first, FIRST)
        check_choice("engine", self.engine, ENGINES)
        check_bounds(self.low, self.high)
        if self.first != "box" and (self.low is not None or self.high is not None):
            raise UsageError(
                "Bounds of the input have no effect here",
                fix="leave low and high out, or first='box'",
            )


def check_start(start: str) -> None:
    """Raise ``UsageError`` for an unknown start of relevance."""
    if start not in STARTS:
        raise UsageError(f"Unknown start '{start}'", fix=f"use {', '.join(STARTS)}")


def check_choice(what: str, value: str, allowed: Sequence[str]) -> None:
    """Raise ``UsageError`` for a text that is none of ``allowed``; ``what`` names the option."""
    if value not in allowed:
        raise UsageError(f"Unknown {what} '{value}'", fix=f"use {' or '.join(allowed)}")


def check_not_negative(name: str, value: float) -> None:
    """Raise ``UsageError`` for a number that is negative, infinite or undefined."""
    if not 0 <= value < float("inf"):
        raise UsageError(f"{name} {value} is invalid", fix="give a number of 0 or more")


def check_bounds(low: float | None, high: float | None) -> None:
    """Raise ``UsageError`` for bounds that hold nothing between them."""
    if low is not None and high is not None and low >= high:
        raise UsageError(
            f"The bounds {low} and {high} enclose no values",
            fix="give the lowest and the highest value that an input can have",
        )
