"""The recipe of a training has the numbers of its study."""

from __future__ import annotations

import dataclasses

import pytest

from bids_xai.group.train.recipe import order_seed, recipe_of
from bids_xai.studies.schema import load_study
from bids_xai.studies.tables import Augmentation, EarlyStopping, Plateau, Transfer


def test_every_number_of_the_study_is_in_the_recipe() -> None:
    study = load_study("tinauer2025")
    training = dataclasses.replace(
        study.training,
        epochs=17,
        batch_size=3,
        accumulate=2,
        learning_rate=0.02,
        guidance_weight=0.3,
        guidance_after=4,
        plateau=Plateau(patience=9, factor=0.7, min=1e-5, min_delta=0.1, reset_weights=False),
        early_stopping=EarlyStopping(patience=8, metric="validation_loss", min_delta=0.2),
        augmentation=Augmentation(flip_axes=(0,), shift_voxels=2, skull_strip=0.25),
        transfer=Transfer("other", freeze=("layers.0",)),
    )
    changed = dataclasses.replace(study, training=training)
    recipe = recipe_of(changed, relevance_guided=True, seed=5)
    same = (
        *("epochs", "batch_size", "accumulate", "learning_rate", "momentum", "weight_decay"),
        *("class_weights", "guidance_weight", "guidance_after", "mixed_precision"),
    )
    for name in same:
        assert getattr(recipe, name) == getattr(training, name)
    assert (recipe.patience, recipe.factor, recipe.min_learning_rate) == (9, 0.7, 1e-5)
    assert (recipe.min_delta, recipe.reset_weights) == (0.1, False)
    assert (recipe.stop_patience, recipe.stop_min_delta) == (8, 0.2)
    assert (recipe.flip_axes, recipe.shift_voxels) == ((0,), 2)
    assert recipe.skull_strip == 0.25
    assert (recipe.relevance_guided, recipe.freeze, recipe.seed) == (True, ("layers.0",), 5)
    plain = recipe_of(study, relevance_guided=False, seed=0)
    assert (plain.relevance_guided, plain.freeze) == (False, ())


@pytest.mark.parametrize(("repetitions", "seeds"), [(1, [5, 5, 5]), (2, [5, 6, 5])])
def test_repetitions_of_a_split_differ_in_the_order_of_scans(
    repetitions: int, seeds: list[int]
) -> None:
    assert [order_seed(5, split, repetitions) for split in range(3)] == seeds
