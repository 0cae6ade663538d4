"""What a recipe may say."""

from __future__ import annotations

import math

import pytest
import torch

from bids_xai.errors import UsageError
from bids_xai.training.recipe import CHOICES, Recipe


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": -1},
        {"factor": 1.0},
        {"factor": 0.0},
        {"learning_rate": math.nan},
        {"accumulate": 0},
        {"seed": -1},
        {"momentum": 1.0},
        {"momentum": -0.1},
        {"weight_decay": -1e-3},
        {"stop_patience": -1},
        {"stop_min_delta": -1.0},
        {"shift_voxels": -1},
        {"skull_strip": -0.1},
        {"skull_strip": 1.1},
        {"flip_axes": (3,)},
        {"flip_axes": (0, 0)},
        {"flip_axes": (-1,)},
        *({name: "other"} for name in CHOICES),
    ],
)
def test_impossible_recipes_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(change))):
        Recipe(**change)  # type: ignore[arg-type]


def test_the_paper_is_the_default() -> None:
    recipe = Recipe()
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate) == (60, 6, 1e-3)
    assert (recipe.patience, recipe.min_delta, recipe.factor) == (5, 1e-4, 0.3)
    assert (recipe.min_learning_rate, recipe.guidance_weight) == (1e-6, 1.0)
    assert (recipe.optimizer, recipe.weight_decay, recipe.stop_patience) == ("adam", 0.0, 0)
    assert (recipe.flip_axes, recipe.shift_voxels, recipe.class_weights) == ((), 0, "none")
    assert (recipe.mixed_precision, recipe.channels_last, recipe.freeze) == ("off", None, ())


def test_a_plateau_is_switched_off_in_two_ways() -> None:
    assert Recipe().has_plateau
    assert not Recipe(plateau=False).has_plateau
    assert not Recipe(patience=0).has_plateau


@pytest.mark.parametrize(
    ("channels_last", "device", "lies_last"),
    [
        (None, "cpu", True),
        (None, torch.device("cpu"), True),
        (None, "cuda:1", False),
        (None, torch.device("cuda"), False),
        (True, "cuda", True),
        (False, "cpu", False),
    ],
)
def test_the_device_decides_on_the_layout_unless_told(
    channels_last: bool | None, device: object, lies_last: bool
) -> None:
    assert Recipe(channels_last=channels_last).lies_last(device) is lies_last
