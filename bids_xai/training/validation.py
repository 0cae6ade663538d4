"""One pass over the validation scans, in float32 and evaluation mode."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bids_xai.core.scores import multiclass_scores
from bids_xai.training.batches import Scans, batches
from bids_xai.training.losses import check_finite, losses
from bids_xai.training.processes import Processes
from bids_xai.training.recipe import Recipe
from bids_xai.training.signals import StopRequest

CONSTANT_WITHIN = 1e-6


@dataclass(frozen=True, kw_only=True)
class Validation:
    """The validation columns of an epoch's record, and whether all scans got one answer."""

    validation_loss: float
    validation_ce: float
    validation_balanced_accuracy: float
    inner_mask_share: float
    relevance_sum: float
    constant: bool


@torch.no_grad()
def validate(
    model: nn.Module,
    data: Scans,
    recipe: Recipe,
    epoch: int,
    class_weights: Tensor | None,
    processes: Processes,
    stop: StopRequest,
) -> Validation | None:
    """Means over scans; None where a signal came before the end (with one process only)."""
    truth: list[int] = []
    rows: list[list[float]] = []
    sums = np.zeros(4)
    device = next(model.parameters()).device
    model.eval()
    share = processes.share(range(len(data)))
    layout = recipe.lies_last(device)
    for volumes, masks, labels in batches(
        data, share, recipe.batch_size, device, channels_last=layout
    ):
        if stop and processes.size == 1:
            return None
        batch_losses = losses(
            model, volumes, masks, labels, recipe, training=False, class_weights=class_weights
        )
        values = torch.stack(
            [batch_losses.objective, batch_losses.ce, batch_losses.inner, batch_losses.total]
        ).tolist()
        check_finite(values[0], f"validation loss of epoch {epoch}")
        sums += len(volumes) * np.array(values)
        truth += labels.tolist()
        rows += batch_losses.logits.softmax(dim=1).tolist()
    loss, ce, inner, total = (processes.total(sums) / len(data)).tolist()
    truth = processes.merged(processes.gathered(truth))
    probabilities = np.array(processes.merged(processes.gathered(rows)))
    return Validation(
        validation_loss=loss,
        validation_ce=ce,
        validation_balanced_accuracy=balanced_accuracy(truth, probabilities),
        inner_mask_share=inner,
        relevance_sum=total,
        constant=is_constant(probabilities),
    )


def balanced_accuracy(truth: Sequence[int], probabilities: npt.ArrayLike) -> float:
    """Mean over classes of the share of their scans that are called so; NaN without a class.

    truth : (n,) class numbers; probabilities : (n, classes)
    """
    classes = [str(label) for label in range(np.shape(probabilities)[1])]
    positive = classes[1] if len(classes) == 2 else None
    named = [classes[label] for label in truth]
    accuracy = multiclass_scores(named, probabilities, classes, positive=positive).balanced_accuracy
    return math.nan if accuracy is None else accuracy


def is_constant(probabilities: npt.ArrayLike) -> bool:
    """Whether two or more scans (n, classes) all got the same probabilities, to within 1e-6."""
    p = np.asarray(probabilities)
    return len(p) > 1 and bool((np.ptp(p, axis=0) <= CONSTANT_WITHIN).all())
