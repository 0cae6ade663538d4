"""Plateaus, early stopping and the best epoch, from validation figures told in advance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn, optim
from training_cases import make_recipe

from bids_xai.tables.training import EpochRecord
from bids_xai.training.recipe import Recipe
from bids_xai.training.schedule import TrainingState, after_epoch, finished, stopped_early


def _record(epoch: int, loss: float, accuracy: float) -> EpochRecord:
    return EpochRecord(
        epoch=epoch,
        lr=0.0,
        train_loss=0.0,
        train_ce=0.0,
        validation_loss=loss,
        validation_ce=loss,
        validation_balanced_accuracy=accuracy,
        inner_mask_share=None,
        relevance_sum=None,
        seconds=0.0,
        scans_per_second=0.0,
    )


def _played(
    recipe: Recipe, figures: list[tuple[float, float]]
) -> tuple[TrainingState, list[Any], Any]:
    """State, (weight, learning rate) after each epoch, and the weight of the best.

    A model of one weight, the number of its last epoch.
    """
    model = nn.Linear(1, 1, bias=False)
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    state, seen = TrainingState(lr=recipe.learning_rate), []
    for epoch, (loss, accuracy) in enumerate(figures, start=1):
        if finished(state, recipe):
            break
        with torch.no_grad():
            model.weight.fill_(epoch)
        state.history.append(_record(epoch, loss, accuracy))
        after_epoch(state, accuracy == 0.5, model, optimizer, recipe)
        seen.append((int(model.weight.item()), state.lr))
    best = state.best(recipe)
    return state, seen, int(best.state["model/weight"].item()) if best.epoch else 0


def _simulated(recipe: Recipe, figures: list[tuple[float, float]]) -> tuple[list[Any], int, int]:
    """The rules told once more from the history alone: (weight, rate) by epoch, best, epochs."""
    low = best = since_low = since_best = 0
    lr, seen = recipe.learning_rate, []
    by_accuracy = recipe.stop_metric != "validation_loss"
    for epoch in range(1, min(len(figures), recipe.epochs) + 1):
        loss, accuracy = figures[epoch - 1]
        weight = epoch
        warm = recipe.relevance_guided and epoch <= recipe.guidance_after
        if warm or low == 0 or figures[low - 1][0] - loss > recipe.min_delta:
            low, since_low = epoch, 0
        else:
            since_low += 1
        gain = (
            math.inf
            if best == 0
            else accuracy - figures[best - 1][1]
            if by_accuracy
            else figures[best - 1][0] - loss
        )
        if warm or gain > recipe.stop_min_delta:
            best, since_best = epoch, 0
        else:
            since_best += 1
        if recipe.plateau and recipe.patience and since_low == recipe.patience:
            since_low = 0
            if lr > recipe.min_learning_rate:
                lr = max(lr * recipe.factor, recipe.min_learning_rate)
                weight = low if recipe.reset_weights else epoch
        seen.append((weight, lr))
        if recipe.stop_patience and since_best == recipe.stop_patience:
            break
    return seen, best if recipe.stop_patience else low, len(seen)


@pytest.mark.parametrize("seed", range(40))
def test_any_history_follows_the_rules(seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = rng.choice([-0.2, -0.05, 0.0, 0.1], size=24)
    figures = [
        (float(loss), float(accuracy))
        for loss, accuracy in zip(2 + steps.cumsum(), rng.integers(4, 10, 24) / 10, strict=True)
    ]
    recipe = make_recipe(
        epochs=int(rng.choice([20, 24, 40])),
        patience=int(rng.choice([0, 1, 3])),
        plateau=bool(rng.random() < 0.8),
        min_delta=float(rng.choice([0.0, 0.06])),
        min_learning_rate=1e-4,
        reset_weights=bool(rng.random() < 0.7),
        stop_patience=int(rng.choice([0, 3, 5])),
        stop_metric=str(rng.choice(["validation_loss", "validation_balanced_accuracy"])),
        stop_min_delta=float(rng.choice([0.0, 0.15])),
        relevance_guided=bool(rng.random() < 0.5),
        guidance_after=int(rng.choice([0, 4])),
    )
    state, seen, best_weight = _played(recipe, figures)
    expected, best, n = _simulated(recipe, figures)
    assert seen == expected
    assert len(state.history) == n
    assert state.best(recipe).epoch == best == best_weight


def test_early_stopping_by_hand() -> None:
    figures = [(1.0, 0.6), (0.9, 0.7), (0.8, 0.7), (0.7, 0.65), (0.6, 0.5), (0.5, 0.9)]
    recipe = make_recipe(
        epochs=6, patience=0, stop_patience=3, stop_metric="validation_balanced_accuracy"
    )
    state, seen, _ = _played(recipe, figures)
    assert len(seen) == 5  # epoch 2 is the best, then three without a better one
    assert state.best(recipe).epoch == 2
    assert stopped_early(state, recipe)
    by_loss = make_recipe(epochs=6, patience=0, stop_patience=3)
    state, seen, _ = _played(by_loss, figures)
    assert (len(seen), state.best(by_loss).epoch) == (6, 6)
    assert not stopped_early(state, by_loss)


def test_the_last_epoch_may_be_the_one_to_stop_at() -> None:
    recipe = make_recipe(epochs=3, patience=0, stop_patience=2)
    state, seen, _ = _played(recipe, [(1.0, 0.6), (1.0, 0.6), (1.0, 0.6)])
    assert len(seen) == 3
    assert not stopped_early(state, recipe)  # it ran its epochs


@pytest.mark.parametrize(("end_with", "constant"), [("best", False), ("last", True)])
def test_constant_is_said_of_the_model_at_the_end(end_with: str, constant: bool) -> None:
    recipe = make_recipe(epochs=3, end_with=end_with)
    state, _, _ = _played(recipe, [(1.0, 0.5), (0.5, 0.8), (0.7, 0.5)])  # 0.5 stands for constant
    assert state.constant == constant


def test_unneeded_snapshots_are_not_made() -> None:
    recipe = make_recipe(epochs=2, plateau=False, stop_patience=4)
    state, _, _ = _played(recipe, [(1.0, 0.6), (0.9, 0.6)])
    assert state.low.state == {}
    both = make_recipe(epochs=2, stop_patience=4)
    state, _, _ = _played(both, [(1.0, 0.6), (0.9, 0.6)])
    assert state.low.state is state.stopping.state
