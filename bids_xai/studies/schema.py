"""Study files: read a preset or a user's own, and check that its values make sense together."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from bids_xai.attribution import METHODS
from bids_xai.errors import BadDataError, NoInputError, did_you_mean
from bids_xai.models import MODELS
from bids_xai.studies.reading import check_changes, read_table
from bids_xai.studies.tables import SPRAY_SPACES, Configuration, Study

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
    "spray.voxel_mm",
    "cohort.undersample.bin_years",
    "quality.cube_mm",
    "spray.memory_mb",
)
_ZERO_OR_ABOVE = (
    "input.maximum",
    "input.voxel_mm",
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


def preset_names() -> list[str]:
    """Return the names of the presets that ship with the package."""
    folder = resources.files("bids_xai.studies")
    names = (entry.name for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return sorted(name.removesuffix(".toml") for name in names)


def load_study(name_or_file: str) -> Study:
    """Read a preset by name, or a study file by path.

    Raises :class:`NoInputError` where there is neither, :class:`BadDataError` naming file, key and
    what is allowed.
    """
    if name_or_file in preset_names():
        file = Path(str(resources.files("bids_xai.studies"))) / f"{name_or_file}.toml"
    else:
        file = Path(name_or_file)
    if not file.is_file():
        raise NoInputError(
            f"no study '{name_or_file}'{did_you_mean(name_or_file, preset_names())}",
            fix=f"use a preset ({', '.join(preset_names())}) or the path of a study file",
        )
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadDataError(
            f"the study file is not valid TOML: {error}", file=file, fix="correct that line"
        ) from error
    study: Study = read_table(Study, content, "", file)
    study = _with_checked_changes(study, file)
    if study.splits.file:  # is found from where the study file lies
        found = str(file.parent / study.splits.file)
        study = replace(study, splits=replace(study.splits, file=found))
    _check(study, file)
    for configuration in study.configurations:
        _check(study.of(configuration), file)
    return study


def _with_checked_changes(study: Study, file: Path) -> Study:
    """The study with the changes of its configurations read as their tables would be."""

    def checked(configuration: Configuration) -> Configuration:
        changes = {
            name: check_changes(
                getattr(study, name), getattr(configuration, name), f"configurations.{name}", file
            )
            for name in ("input", "model", "training")
        }
        return replace(
            configuration,
            input=changes["input"],
            model=changes["model"],
            training=changes["training"],
        )

    return replace(study, configurations=tuple(map(checked, study.configurations)))


def _check(study: Study, file: Path) -> None:
    plain = study.as_plain()
    rules = {**_rules_of_values(plain), **_rules_of_study(study)}
    rules |= {
        f"{key} must be a finite number": math.isfinite(value) for key, value in _numbers(plain, "")
    }
    for rule, holds in rules.items():
        if not holds:
            raise BadDataError(f"the study file breaks a rule: {rule}", file=file, fix="correct it")


def _rules_of_values(plain: Mapping[str, Any]) -> dict[str, bool]:
    """Rules of single keys."""
    rules = {
        f"{key} must be {' or '.join(map(repr, allowed))}": value in allowed
        for key, allowed in _CHOICES.items()
        if (value := _at(plain, key)) is not None
    }
    for keys, word, least in ((_ABOVE_ZERO, "above 0", None), (_ZERO_OR_ABOVE, "0 or above", 0)):
        for key in keys:
            value = _at(plain, key)
            if value is not None:
                rules[f"{key} must be {word}"] = value > 0 if least is None else value >= least
    for key, least in _LEAST.items():
        rules[f"{key} must be {least} or more"] = _at(plain, key) >= least
    return rules


def _rules_of_study(study: Study) -> dict[str, bool]:
    """Rules of keys together."""
    ids = [one.id for one in study.configurations] + [one.id for one in study.baselines]
    target, splits, training = study.target, study.splits, study.training
    names = target.names
    return {
        "name must be letters, digits or -": bool(re.fullmatch(r"[A-Za-z0-9-]+", study.name)),
        "target needs negative and positive, or classes (two or more)": len(names) >= 2
        and all(names)
        and not (target.classes and target.negative),
        "target.negative and target.positive, or target.classes, must differ": len(set(names))
        == len(names),
        "target.positive must be one of target.classes": target.positive_name in names,
        "classes must differ in their letters and digits (file names hold nothing else), and none "
        "may be TP, FP, TN or FN": _have_files_of_their_own(names, ("TP", "FP", "TN", "FN")),
        "attribution.methods must differ in their letters and digits": _have_files_of_their_own(
            study.attribution.methods
        ),
        "configurations and baselines must have different ids of letters and digits": len(set(ids))
        == len(ids)
        and all(name.isascii() and name.isalnum() for name in ids),
        "input.suffix must be letters and digits": study.input.suffix.isalnum(),
        "input.desc must be letters and digits": (study.input.desc or "a").isalnum(),
        "relevance guidance (z+) needs input.scaling 'fixed' or 'minmax'": study.input.scaling
        != "zscore"
        or not any(one.relevance_guided for one in study.configurations),
        "splits.fractions must be three shares (train, validation, test) that sum to 1": len(
            splits.fractions
        )
        == 3
        and min(splits.fractions, default=0) > 0
        and abs(sum(splits.fractions) - 1) < 1e-6,
        "splits.counts must be two numbers above 0 "
        "(validation and test of each class)": not splits.counts
        or (len(splits.counts) == 2 and min(splits.counts) > 0),
        'splits.file is needed with scheme "fixed", and only there': bool(splits.file)
        == (splits.scheme == "fixed"),
        f"model.architecture must be one of {', '.join(MODELS)}": study.model.architecture
        in MODELS,
        f"attribution.methods must be among {', '.join(METHODS)}, or named in attribution.options "
        "with one of them as method": bool(study.attribution.methods)
        and all(_method_of(study, name) in METHODS for name in study.attribution.methods),
        "attribution.options must be tables named after attribution.methods": set(
            study.attribution.options
        )
        <= set(study.attribution.methods)
        and all(isinstance(one, dict) for one in study.attribution.options.values()),
        "attribution.target must be positive, predicted, true or a class": study.attribution.target
        in ("positive", "predicted", "true", *names),
        "training.plateau.factor must lie between 0 and 1": 0 < training.plateau.factor < 1,
        "training.augmentation.flip_axes must be among 0, 1, 2": set(
            training.augmentation.flip_axes
        )
        <= {0, 1, 2},
        "training.guidance_mask must be brain, atlas:<name> or atlas:<name>:<numbers>": bool(
            re.fullmatch(r"brain|atlas:\w+(:\d+(,\d+)*)?", training.guidance_mask)
        ),
        "baselines.features must be volume, regions or lesion-load": all(
            b.features in ("volume", "regions", "lesion-load") for b in study.baselines
        ),
        "baselines.kernel must be linear or rbf": all(
            b.kernel in ("linear", "rbf") for b in study.baselines
        ),
        "baselines.pca must be 0 or above, baselines.inner_folds 2 or more": all(
            b.pca >= 0 and b.inner_folds >= 2 for b in study.baselines
        ),
        'search.values must be lists under keys such as "training.learning_rate"': all(
            isinstance(v, list) and v and _at(study.as_plain(), k) is not None
            for k, v in study.search.values.items()
        ),
        f"quality.randomization_without must be among {', '.join(METHODS)}": set(
            study.quality.randomization_without
        )
        <= set(METHODS),
        f"spray.spaces must be among {', '.join(SPRAY_SPACES)}": set(study.spray.spaces)
        <= set(SPRAY_SPACES),
    }


def _have_files_of_their_own(names: Sequence[str], taken: Sequence[str] = ()) -> bool:
    """Whether names still differ, from each other and from ``taken``, as labels of file names."""
    labels = [re.sub(r"[^A-Za-z0-9]", "", name) for name in names]
    return all(labels) and len({*labels, *taken}) == len(labels) + len(taken)


def _method_of(study: Study, name: str) -> str:
    """The method behind a name: itself, or what its options say."""
    options = study.attribution.options.get(name, {})
    return str(options.get("method", name)) if isinstance(options, dict) else name


def _at(table: Mapping[str, Any], key: str) -> Any:
    """The value under a dotted key, ``None`` where a table on the way is absent."""
    value: Any = table
    for part in key.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


def _numbers(table: Mapping[str, Any], where: str) -> Iterator[tuple[str, float]]:
    """Yield key and value of every number of nested tables and lists."""
    for name, value in table.items():
        key = f"{where}{name}"
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{key}.")
        else:
            items = value if isinstance(value, tuple) else (value,)
            yield from ((key, item) for item in items if isinstance(item, float))
