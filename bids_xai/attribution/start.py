"""Where relevance starts: at the whole softmax vector, or at one class."""

from __future__ import annotations

import torch
from torch import Tensor

from bids_xai.attribution.lrp_options import check_start
from bids_xai.errors import UsageError


def start_relevance(logits: Tensor, start: str, target: int | None) -> Tensor:
    """Relevance (n, classes) at the output of a network.

    logits : (n, classes)
    start : ``softmax`` (the full vector, sums to 1), ``probability`` or ``logit`` of ``target``
    target : a class; none for ``softmax``
    Raises ``UsageError`` for an unknown start or class, and where start and target disagree.
    """
    check_start(start)
    if (start == "softmax") != (target is None):
        raise UsageError(
            f"Start '{start}' and target {target} cannot be combined",
            fix="give a target class for a probability or logit, none for the softmax vector",
        )
    values = logits if start == "logit" else logits.softmax(dim=1)
    if target is None:
        return values
    _check_target(logits, target)
    selection = torch.zeros_like(logits)
    selection[:, target] = 1
    return values * selection


def class_score(logits: Tensor, start: str, target: int) -> Tensor:
    """Score (n,) of one class: what gradients and differences are taken of.

    Raises ``UsageError`` for an unknown start or class, and for ``softmax``: the vector sums to 1
    whatever the input, so that nothing can be said to change it.
    """
    check_start(start)
    if start == "softmax":
        raise UsageError(
            "This method explains one class; the softmax vector always sums to 1",
            fix="start at probability or logit",
        )
    _check_target(logits, target)
    values = logits if start == "logit" else logits.softmax(dim=1)
    return values[:, target]


def _check_target(logits: Tensor, target: int) -> None:
    if not 0 <= target < logits.shape[1]:
        raise UsageError(
            f"There is no class {target}", fix=f"use a class from 0 to {logits.shape[1] - 1}"
        )
