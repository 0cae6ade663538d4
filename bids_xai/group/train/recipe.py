"""How a network is trained: the numbers of the study as the training loop takes them."""

from __future__ import annotations

from bids_xai.studies.tables import Study
from bids_xai.training.recipe import Recipe


def recipe_of(study: Study, *, relevance_guided: bool, seed: int) -> Recipe:
    """Return the recipe of a training.

    study : as a configuration sees it; relevance_guided : of that configuration
    seed : of the order of scans
    """
    training = study.training
    return Recipe(
        epochs=training.epochs,
        batch_size=training.batch_size,
        accumulate=training.accumulate,
        optimizer=training.optimizer,
        learning_rate=training.learning_rate,
        momentum=training.momentum,
        weight_decay=training.weight_decay,
        patience=training.plateau.patience,
        min_delta=training.plateau.min_delta,
        factor=training.plateau.factor,
        min_learning_rate=training.plateau.min,
        reset_weights=training.plateau.reset_weights,
        stop_patience=training.early_stopping.patience,
        stop_metric=training.early_stopping.metric,
        stop_min_delta=training.early_stopping.min_delta,
        flip_axes=training.augmentation.flip_axes,
        shift_voxels=training.augmentation.shift_voxels,
        skull_strip=training.augmentation.skull_strip,
        class_weights=training.class_weights,
        relevance_guided=relevance_guided,
        guidance_weight=training.guidance_weight,
        guidance_after=training.guidance_after,
        freeze=training.transfer.freeze if training.transfer else (),
        mixed_precision=training.mixed_precision,
        channels_last=training.channels_last,
        seed=seed,
    )


def order_seed(seed: int, split: int, repetitions: int) -> int:
    """Return the seed of the order of scans: repetitions of a split differ in it, too."""
    return seed + split % repetitions
