"""``--dry-run``: who would be in, how many trainings, and what memory one takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from bids_xai.group.assignment import SETS
from bids_xai.group.cohort import Plan, plan
from bids_xai.group.context import LOG, GroupContext
from bids_xai.interfaces.network_grid import common_shape
from bids_xai.studies.tables import Configuration

# Copies of all feature maps that a step holds at its peak, measured on the networks of the table
# (docs/training.md): activations and their gradients; guidance also differentiates the relevance.
_PLAIN_COPIES, _GUIDED_COPIES = 2.5, 6.0
_STATES = 4  # weights, gradients and the two moments of Adam


def say_what_would_be_done(context: GroupContext, steps: Sequence[str]) -> None:
    """Log the cohort, the splits, the trainings and an estimate of their memory."""
    made = plan(context)
    sizes = Counter(made.splits[0].values())
    LOG.info(
        "%d split(s); the first has %s",
        len(made.splits),
        ", ".join(f"{sizes[name]} participants in {name}" for name in SETS),
    )
    chosen = context.selected_splits(len(made.splits))
    for configuration in context.study.configurations:
        if configuration.id in context.selected_configurations:
            _say_configuration(context, made, configuration, len(chosen))
    draws = max(1, context.study.search.draws)
    trainings = len(context.selected_configurations) * len(chosen) * draws
    LOG.info(
        "would run %s: %d training(s)%s",
        ", ".join(steps),
        trainings,
        f", {draws} draws each" if draws > 1 else "",
    )


def _say_configuration(
    context: GroupContext, made: Plan, configuration: Configuration, splits: int
) -> None:
    study = context.study.of(configuration)
    maps = [one.files.map for one in made.selection.included]
    shape = common_shape(maps, study.input.voxel_mm or None)
    weights, activations = network_size(
        study.model.architecture, shape, len(study.target.names), **study.model.options
    )
    copies = _GUIDED_COPIES if configuration.relevance_guided else _PLAIN_COPIES
    a_batch = activations * copies * study.training.batch_size
    LOG.info(
        "configuration %s: %s on %s voxels, %s parameters, %d split(s), about %.1f GB a training",
        configuration.id,
        study.model.architecture,
        "×".join(map(str, shape)),
        f"{weights:,}",
        splits,
        4 * (a_batch + _STATES * weights) / 1e9,
    )


def network_size(
    name: str, shape: tuple[int, int, int], n_classes: int, **options: Any
) -> tuple[int, int]:
    """Numbers of parameters, and of values in all feature maps of one scan; nothing is computed.

    Raises :class:`UsageError` for a network that cannot be built on this grid.
    """
    import torch

    from bids_xai.models import build

    model = build(name, shape, n_classes, **options).eval()
    weights = sum(parameter.numel() for parameter in model.parameters())
    counted = [0]

    def count(module: torch.nn.Module, inputs: object, output: torch.Tensor) -> None:
        counted[0] += output.numel()

    leaves = [m for m in model.modules() if not any(m.children())]
    handles = [leaf.register_forward_hook(count) for leaf in leaves]
    try:
        with torch.no_grad():
            model.to("meta")(torch.empty((1, 1, *shape), device="meta"))
    finally:
        for handle in handles:
            handle.remove()
    return weights, counted[0]
