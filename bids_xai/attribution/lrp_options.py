"""The options that all methods of layer-wise relevance propagation share, in one record."""

from __future__ import annotations

from dataclasses import dataclass

from bids_xai.attribution.chain import BATCH_NORM, MAX_POOL
from bids_xai.attribution.checks import check_bounds, check_choice
from bids_xai.attribution.rules import BIAS
from bids_xai.attribution.start import check_start
from bids_xai.errors import UsageError

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
