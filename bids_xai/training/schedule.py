"""What an epoch's validation decides: the best so far, the learning rate, the end.

Two watches look at the validation scans. The one for plateaus looks at the objective: after
``patience`` epochs without a new low the learning rate falls by ``factor`` and the run goes back
to the epoch of the low: weights *and* the optimizer's moments, which belong to those weights. At
the lowest learning rate nothing more happens on a plateau. The one for early stopping looks at
``stop_metric`` and ends the training. The best epoch is that of early stopping where there is
such a thing, else that of the lowest objective.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from torch import nn, optim

from bids_xai.arrays import Floats64
from bids_xai.tables.training import EpochRecord
from bids_xai.training.checkpoint import Tensors, restore, snapshot
from bids_xai.training.recipe import Recipe


@dataclass
class EpochPart:
    """An epoch under way: how many scans of its order are done, and what they summed to.

    sums : objective and cross-entropy, each summed over the scans done
    seconds : time they took
    """

    done: int = 0
    sums: Floats64 = field(default_factory=lambda: np.zeros(2))
    seconds: float = 0.0


@dataclass
class Watch:
    """The best epoch in one respect.

    score : of that epoch, lower is better; epoch : from 1, 0 before the first
    waited : epochs since then, or since the last plateau
    state : weights and moments after that epoch
    """

    score: float = math.inf
    epoch: int = 0
    waited: int = 0
    state: Tensors = field(default_factory=dict)


@dataclass
class TrainingState:
    """Everything that changes in a run besides model and optimizer.

    low, stopping : the two watches
    constant : whether the model that training would end with has one answer to all scans
    part : the epoch under way
    parts : in how many a batch is taken
    """

    lr: float
    history: list[EpochRecord] = field(default_factory=list)
    low: Watch = field(default_factory=Watch)
    stopping: Watch = field(default_factory=Watch)
    constant: bool = False
    part: EpochPart = field(default_factory=EpochPart)
    parts: int = 1

    def best(self, recipe: Recipe) -> Watch:
        """The watch that knows the best epoch."""
        return self.stopping if recipe.stop_patience else self.low


def warming_up(recipe: Recipe, epoch: int) -> bool:
    """Whether guidance is still to come."""
    return recipe.relevance_guided and epoch <= recipe.guidance_after


def finished(state: TrainingState, recipe: Recipe) -> bool:
    """Whether no epoch is to follow."""
    return len(state.history) >= recipe.epochs or stopped_early(state, recipe)


def stopped_early(state: TrainingState, recipe: Recipe) -> bool:
    """Whether early stopping ended the run."""
    enough = 0 < recipe.stop_patience <= state.stopping.waited
    return enough and len(state.history) < recipe.epochs


def after_epoch(
    state: TrainingState,
    constant: bool,
    model: nn.Module,
    optimizer: optim.Optimizer,
    recipe: Recipe,
) -> None:
    """Look at the last epoch of ``state``; on a plateau lower the learning rate and go back.

    constant : whether the network now gives one answer to all validation scans
    """
    _look(state, model, optimizer, recipe)
    last = state.history[-1].epoch
    if recipe.end_with == "last" or state.best(recipe).epoch == last:
        state.constant = constant
    low = state.low
    if not recipe.has_plateau or low.waited < recipe.patience:
        return
    low.waited = 0
    if state.lr > recipe.min_learning_rate:
        state.lr = max(state.lr * recipe.factor, recipe.min_learning_rate)
        keep = recipe.end_with == "last" and finished(state, recipe)
        if recipe.reset_weights and not keep:
            restore(low.state, model, optimizer)


def _look(
    state: TrainingState, model: nn.Module, optimizer: optim.Optimizer, recipe: Recipe
) -> None:
    """Show the last epoch to the watches that the recipe needs.

    Before guidance sets in, every epoch replaces the one before: there is no plateau of a loss
    that is not yet trained on.
    """
    record = state.history[-1]
    watches = []
    if recipe.has_plateau or not recipe.stop_patience:
        watches.append((state.low, record.validation_loss, recipe.min_delta))
    if recipe.stop_patience:
        watches.append((state.stopping, _stop_score(record, recipe), recipe.stop_min_delta))
    now: Tensors = {}
    for watch, score, min_delta in watches:
        if warming_up(recipe, record.epoch) or score < watch.score - min_delta:
            now = now or snapshot(model, optimizer)
            watch.score, watch.epoch, watch.waited, watch.state = score, record.epoch, 0, now
        else:
            watch.waited += 1


def _stop_score(record: EpochRecord, recipe: Recipe) -> float:
    """What early stopping looks at, lower is better; NaN, which is never better, if undefined."""
    if recipe.stop_metric == "validation_loss":
        return record.validation_loss
    accuracy = record.validation_balanced_accuracy
    return math.nan if accuracy is None else -accuracy
