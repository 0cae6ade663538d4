"""What must hold before a training starts."""

from __future__ import annotations

from collections import Counter

from torch import nn

from bids_xai.attribution.zplus import zplus_chain
from bids_xai.errors import BadDataError
from bids_xai.training.batches import Scans, labels_of
from bids_xai.training.recipe import Recipe


def check_training(
    model: nn.Module, train_data: Scans, validation_data: Scans, recipe: Recipe
) -> list[int]:
    """Class numbers of the training scans.

    Raises ``BadDataError`` for no scans, a class without training scans (and, where balanced
    accuracy chooses the best epoch, without validation scans) or a class the network does not
    have; ``UsageError`` for a network that cannot be guided.
    """
    for name, data in (("training", train_data), ("validation", validation_data)):
        if not len(data):
            raise BadDataError(f"There are no {name} scans", fix="check the split of participants")
    if recipe.relevance_guided:
        zplus_chain(model)
    labels = labels_of(train_data)
    classes = n_classes(model, labels)
    _check_labels(labels, classes, "training")
    if recipe.stop_patience and recipe.stop_metric == "validation_balanced_accuracy":
        _check_labels(labels_of(validation_data), classes, "validation")
    return labels


def n_classes(model: nn.Module, labels: list[int]) -> int:
    """Outputs of the network: its ``n_classes``, else those of its last dense layer."""
    outputs = getattr(model, "n_classes", None)
    if outputs is not None:
        return int(outputs)
    dense = [module for module in model.modules() if isinstance(module, nn.Linear)]
    return dense[-1].out_features if dense else max(labels) + 1


def _check_labels(labels: list[int], classes: int, name: str) -> None:
    counts = Counter(labels)
    empty = [label for label in range(classes) if not counts[label]]
    unknown = sorted(label for label in counts if not 0 <= label < classes)
    if empty:
        raise BadDataError(
            f"No {name} scan belongs to class {', '.join(map(str, empty))} (of 0 to {classes - 1})",
            fix="check the classes and the split of participants",
        )
    if unknown:
        raise BadDataError(
            f"A {name} scan belongs to class {', '.join(map(str, unknown))}, the network has "
            f"{classes}",
            fix="build the network with as many classes as there are",
        )
