"""The objective of a batch: ``CE - guidance_weight * mean over scans of sum(M * R)``.

R is the z+ relevance of the softmax vector and M the mask that comes with a scan. Cross-entropy
and relevance share one forward pass.

Source: Tinauer et al. 2022, 2025; the project's method sheet, section 4.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from bids_xai.attribution.guided import covers, masked_relevance
from bids_xai.attribution.modes import full_precision
from bids_xai.attribution.zplus import relevance_zplus, zplus_chain
from bids_xai.errors import BadDataError, UsageError
from bids_xai.training.recipe import Recipe

_PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Losses:
    """Objective, cross-entropy and sums of relevance of one batch, means over its scans."""

    objective: Tensor
    ce: Tensor
    inner: Tensor
    total: Tensor
    logits: Tensor


def losses(
    model: nn.Module,
    volumes: Tensor,
    masks: Tensor,
    labels: Tensor,
    recipe: Recipe,
    *,
    training: bool,
    class_weights: Tensor | None = None,
) -> Losses:
    """The objective of a batch. Relevance is measured in validation for every configuration.

    volumes : (n, channels, x, y, z); masks : (n, 1, x, y, z); labels : (n,)
    training : keep the graph; only then a precision other than float32 is used, and only
        without guidance
    class_weights : (classes,), see :func:`balanced_weights`
    """
    guided = recipe.relevance_guided
    if guided or (not training and _explainable(model, volumes)):
        logits, inner, total = _measured(model, volumes, masks, training)
    else:
        with _precision(recipe, volumes.device) if training else nullcontext():
            logits = model(volumes)
        logits = logits.to(volumes.dtype)
        inner = total = logits.new_tensor(math.nan)
    ce = cross_entropy(logits, labels, class_weights)
    objective = ce - recipe.guidance_weight * inner if guided else ce
    return Losses(objective=objective, ce=ce, inner=inner, total=total, logits=logits)


def cross_entropy(logits: Tensor, labels: Tensor, class_weights: Tensor | None) -> Tensor:
    """Mean over scans of the (weighted) cross-entropy; logits (n, classes), labels (n,).

    The divisor is the number of scans, not the sum of their weights, so that a batch may be
    taken in parts.
    """
    if class_weights is None:
        return functional.cross_entropy(logits, labels)
    each = functional.cross_entropy(logits, labels, reduction="none")
    return (each * class_weights.to(logits)[labels]).mean()


def balanced_weights(labels: Sequence[int], n_classes: int) -> list[float]:
    """Weight n / (n classes * n scans of the class) of each class; their mean over scans is 1.

    Every class must occur.
    """
    counts = Counter(labels)
    return [len(labels) / (n_classes * counts[label]) for label in range(n_classes)]


def check_finite(objective: float, what: str) -> None:
    """Raise ``BadDataError`` for an undefined or infinite loss."""
    if not math.isfinite(objective):
        raise BadDataError(
            f"The {what} is not finite",
            fix="check the maps for undefined values, lower the learning rate, or train in "
            "full precision",
        )


def _measured(
    model: nn.Module, volumes: Tensor, masks: Tensor, training: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, and relevance inside the masks and in all, means over scans."""
    n = len(volumes)
    if covers(model, volumes):
        with torch.set_grad_enabled(training):
            sums = masked_relevance(model, volumes, masks, -1 / n)
        return sums.logits, -sums.inner.sum(), sums.total.mean()
    with full_precision(volumes):
        logits, relevance = relevance_zplus(model, volumes, create_graph=training)
    inner = (masks * relevance).flatten(1).sum(dim=1).mean()
    return logits, inner, relevance.detach().flatten(1).sum(dim=1).mean()


def _explainable(model: nn.Module, volumes: Tensor) -> bool:
    """Whether z+ holds for this network and input."""
    try:
        zplus_chain(model)
    except UsageError:
        return False
    return bool((volumes >= 0).all())


def _precision(recipe: Recipe, device: torch.device) -> AbstractContextManager[object]:
    if recipe.mixed_precision == "off":
        return nullcontext()
    return torch.autocast(device.type, dtype=_PRECISIONS[recipe.mixed_precision])
