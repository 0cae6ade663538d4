"""Rules of single keys: choices and bounds. A key of a table that is absent breaks none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bids_xai.studies.rule import StudyRule, value_at
from bids_xai.studies.tables import Study

SPACES = ("T1w", "template")
_CHOICES: dict[str, tuple[str, ...]] = {
    "target.table": ("participants", "sessions"),
    "input.space": SPACES,
    "input.scaling": ("fixed", "minmax", "zscore"),
    "cohort.undersample.equalise": ("classes", "sexes"),
    "splits.scheme": ("random", "kfold", "fixed"),
    "training.optimizer": ("adam", "adamw", "sgd"),
    "training.class_weights": ("none", "balanced"),
    "training.mixed_precision": ("off", "bf16", "fp16"),
    "training.early_stopping.metric": ("validation_loss", "validation_balanced_accuracy"),
    "spray.features": ("plain", "sum-normalised", "top-0.4", "top-0.1"),
    "spray.embedding": ("tsne", "umap"),
    "spray.precision": ("float32", "float16"),
    "quality.placement": ("grid", "greedy"),
    "quality.ordering": ("sum", "absolute"),
}
_ABOVE_ZERO = (
    "input.scale",
    "training.learning_rate",
    "training.plateau.min",
    "cohort.undersample.bin_years",
    "quality.cube_mm",
    "spray.memory_mb",
)
_ZERO_OR_ABOVE = (
    "input.maximum",
    "cohort.caliper",
    "training.momentum",
    "training.weight_decay",
    "training.guidance_weight",
    "training.guidance_after",
    "training.guidance_erode",
    "training.plateau.patience",
    "training.plateau.min_delta",
    "training.early_stopping.patience",
    "training.early_stopping.min_delta",
    "training.augmentation.shift_voxels",
    "search.draws",
    "quality.scans",
    "quality.stride_mm",
    "quality.randomization_scans",
    "quality.tolerance_mm",
    "quality.cubes_per_step",
)
_LEAST = {
    "splits.repeats": 1,
    "splits.folds": 3,
    "splits.repetitions": 1,
    "training.epochs": 0,
    "training.batch_size": 1,
    "training.accumulate": 1,
    "spray.neighbours": 2,
    "spray.max_clusters": 1,
    "spray.bootstraps": 1,
    "spray.approximate_from": 1,
    "quality.steps": 1,
    "quality.random_orders": 1,
    "quality.noise_draws": 1,
}


_MOST = {
    "splits.repeats": 1000,
    "splits.folds": 1000,
    "splits.repetitions": 1000,
    "training.epochs": 100_000,
    "training.batch_size": 4096,
    "training.accumulate": 4096,
    "training.augmentation.shift_voxels": 1000,
    "search.draws": 1000,
    "spray.neighbours": 10_000,
    "spray.max_clusters": 1000,
    "spray.bootstraps": 100_000,
    "quality.steps": 10_000,
    "quality.random_orders": 10_000,
    "quality.noise_draws": 10_000,
}
"""Far beyond what anybody trains: a slip of the keyboard is to be told before work begins."""

_FINEST_MM, _COARSEST_MM = 0.2, 20.0
"""Edges of voxels. At the finest a head takes 4 GB a volume."""


def _choice(key: str, allowed: Sequence[str]) -> StudyRule:
    return StudyRule(
        f"{key} must be {' or '.join(map(repr, allowed))}",
        lambda study: value_at(study, key) in (None, *allowed),
    )


def _bound(key: str, words: str, is_within: Callable[[float], bool]) -> StudyRule:
    def holds(study: Study) -> bool:
        value = value_at(study, key)
        return value is None or is_within(value)

    return StudyRule(f"{key} must be {words}", holds)


def _at_least(key: str, least: int) -> StudyRule:
    return _bound(key, f"{least} or more", lambda value: value >= least)


def _at_most(key: str, most: int) -> StudyRule:
    return _bound(key, f"{most} or fewer", lambda value: value <= most)


def _is_edge(value: float) -> bool:
    return _FINEST_MM <= value <= _COARSEST_MM


_EDGE = f"between {_FINEST_MM} and {_COARSEST_MM:g} mm"

KEY_RULES: tuple[StudyRule, ...] = (
    *(_choice(key, allowed) for key, allowed in _CHOICES.items()),
    *(_bound(key, "above 0", lambda value: value > 0) for key in _ABOVE_ZERO),
    *(_bound(key, "0 or above", lambda value: value >= 0) for key in _ZERO_OR_ABOVE),
    *(_at_least(key, least) for key, least in _LEAST.items()),
    *(_at_most(key, most) for key, most in _MOST.items()),
    _bound("input.voxel_mm", f"0, or {_EDGE}", lambda value: value == 0 or _is_edge(value)),
    _bound("spray.voxel_mm", _EDGE, _is_edge),
)
