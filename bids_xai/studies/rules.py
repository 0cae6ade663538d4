"""What the values of a study must be together: a table of rules, checked in order."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bids_xai.attribution import METHODS
from bids_xai.models import MODELS
from bids_xai.studies.key_rules import KEY_RULES
from bids_xai.studies.rule import StudyRule, value_at
from bids_xai.studies.tables import SPRAY_SPACES, Study

_SEARCHED = r"(model|training)\..+|input\.(scaling|scale|maximum)"
"""Keys whose values a search may draw: not those that say which scans there are, on what grid."""

_MOST_TRAININGS = 100_000


def broken_rule(study: Study) -> str:
    """Return the first rule that a study breaks, in words; empty where it breaks none."""
    broken = (rule.message for rule in (*KEY_RULES, *STUDY_RULES) if not rule.holds(study))
    infinite = (
        f"{key} must be a finite number"
        for key, number in _numbers(study.as_plain(), "")
        if not math.isfinite(number)
    )
    return next(broken, None) or next(infinite, "")


def _two_classes_or_more(study: Study) -> bool:
    target = study.target
    return len(target.names) >= 2 and all(target.names) and not (target.classes and target.negative)


def _all_differ(names: Sequence[str]) -> bool:
    return len(set(names)) == len(names)


def _differ_in_file_names(names: Sequence[str], taken: Sequence[str] = ()) -> bool:
    """Whether names still differ, from each other and from ``taken``, as labels of file names."""
    labels = [re.sub(r"[^A-Za-z0-9]", "", name) for name in names]
    return all(labels) and _all_differ([*labels, *taken])


def _ids_are_labels(study: Study) -> bool:
    ids = [configuration.id for configuration in study.configurations]
    ids += [baseline.id for baseline in study.baselines]
    return _all_differ(ids) and all(name.isascii() and name.isalnum() for name in ids)


def _guided_inputs_are_not_negative(study: Study) -> bool:
    guided = any(configuration.relevance_guided for configuration in study.configurations)
    return study.input.scaling != "zscore" or not guided


def _strips_by_the_brain_mask(study: Study) -> bool:
    """The mask that comes with a training scan is that of guidance."""
    training = study.training
    brain = training.guidance_mask == "brain" and not training.guidance_erode
    return brain or not training.augmentation.skull_strip


def _three_shares_of_1(study: Study) -> bool:
    shares = study.splits.fractions
    return len(shares) == 3 and min(shares) > 0 and abs(sum(shares) - 1) < 1e-6


def _no_counts_or_two(study: Study) -> bool:
    counts = study.splits.counts
    return not counts or (len(counts) == 2 and min(counts) > 0)


def _methods_exist(study: Study) -> bool:
    methods = study.attribution.methods
    return bool(methods) and all(_method_of(study, name) in METHODS for name in methods)


def _method_of(study: Study, name: str) -> str:
    """The method behind a name: itself, or what its options say."""
    options = study.attribution.options.get(name, {})
    return str(options.get("method", name)) if isinstance(options, dict) else name


def _options_are_of_methods(study: Study) -> bool:
    options = study.attribution.options
    are_tables = all(isinstance(table, dict) for table in options.values())
    return set(options) <= set(study.attribution.methods) and are_tables


def _search_lists_values_of_keys(study: Study) -> bool:
    return all(
        isinstance(values, list)
        and values
        and re.fullmatch(_SEARCHED, key)
        and value_at(study, key) is not None
        for key, values in study.search.values.items()
    )


def _n_trainings(study: Study) -> int:
    """Number of trainings, as far as the study file says it (not of ``fixed`` splits)."""
    splits = {"random": study.splits.repeats, "kfold": study.splits.folds}
    draws = max(1, study.search.draws)
    configurations = len(study.configurations)
    return splits.get(study.splits.scheme, 1) * study.splits.repetitions * configurations * draws


def _is_mask(text: str) -> bool:
    return bool(re.fullmatch(r"brain|atlas:\w+(:\d+(,\d+)*)?", text))


STUDY_RULES: tuple[StudyRule, ...] = (
    StudyRule(
        "name must be letters, digits or -",
        lambda study: bool(re.fullmatch(r"[A-Za-z0-9-]+", study.name)),
    ),
    StudyRule("target needs negative and positive, or classes (two or more)", _two_classes_or_more),
    StudyRule(
        "target.negative and target.positive, or target.classes, must differ",
        lambda study: _all_differ(study.target.names),
    ),
    StudyRule(
        "target.positive must be one of target.classes",
        lambda study: study.target.positive_name in study.target.names,
    ),
    StudyRule(
        "classes must differ in their letters and digits (file names allow nothing else), and none "
        "may be TP, FP, TN or FN",
        lambda study: _differ_in_file_names(study.target.names, ("TP", "FP", "TN", "FN")),
    ),
    StudyRule(
        "attribution.methods must differ in their letters and digits",
        lambda study: _differ_in_file_names(study.attribution.methods),
    ),
    StudyRule(
        "configurations and baselines must have different ids of letters and digits",
        _ids_are_labels,
    ),
    StudyRule(
        "input.suffix must be letters and digits", lambda study: study.input.suffix.isalnum()
    ),
    StudyRule(
        "input.desc must be letters and digits", lambda study: (study.input.desc or "a").isalnum()
    ),
    StudyRule(
        "relevance guidance (z+) needs input.scaling 'fixed' or 'minmax'",
        _guided_inputs_are_not_negative,
    ),
    StudyRule(
        "splits.fractions must be three shares (train, validation, test) that sum to 1",
        _three_shares_of_1,
    ),
    StudyRule(
        "splits.counts must be two numbers above 0 (validation and test of each class)",
        _no_counts_or_two,
    ),
    StudyRule(
        'splits.file is needed with scheme "fixed", and only there',
        lambda study: bool(study.splits.file) == (study.splits.scheme == "fixed"),
    ),
    StudyRule(
        f"model.architecture must be one of {', '.join(MODELS)}",
        lambda study: study.model.architecture in MODELS,
    ),
    StudyRule(
        f"attribution.methods must be among {', '.join(METHODS)}, or named in attribution.options "
        "with one of them as method",
        _methods_exist,
    ),
    StudyRule(
        "attribution.options must be tables named after attribution.methods",
        _options_are_of_methods,
    ),
    StudyRule(
        "attribution.target must be positive, predicted, true or a class",
        lambda study: (
            study.attribution.target in ("positive", "predicted", "true", *study.target.names)
        ),
    ),
    StudyRule(
        "training.plateau.factor must lie between 0 and 1",
        lambda study: 0 < study.training.plateau.factor < 1,
    ),
    StudyRule(
        "training.augmentation.flip_axes must be among 0, 1, 2",
        lambda study: set(study.training.augmentation.flip_axes) <= {0, 1, 2},
    ),
    StudyRule(
        "training.augmentation.skull_strip must lie between 0 and 1",
        lambda study: 0 <= study.training.augmentation.skull_strip <= 1,
    ),
    StudyRule(
        'training.augmentation.skull_strip needs guidance_mask "brain", without guidance_erode',
        _strips_by_the_brain_mask,
    ),
    StudyRule(
        "training.guidance_mask must be brain, atlas:<name> or atlas:<name>:<numbers>",
        lambda study: _is_mask(study.training.guidance_mask),
    ),
    StudyRule(
        "baselines.features must be volume, regions or lesion-load",
        lambda study: {b.features for b in study.baselines} <= {"volume", "regions", "lesion-load"},
    ),
    StudyRule(
        "baselines.kernel must be linear or rbf",
        lambda study: {b.kernel for b in study.baselines} <= {"linear", "rbf"},
    ),
    StudyRule(
        "baselines.pca must be 0 or above, baselines.inner_folds 2 or more",
        lambda study: all(b.pca >= 0 and b.inner_folds >= 2 for b in study.baselines),
    ),
    StudyRule(
        "search.values must be lists under keys of model or training (or input.scaling, scale, "
        'maximum), such as "training.learning_rate"',
        _search_lists_values_of_keys,
    ),
    StudyRule(
        f"splits, configurations and draws make more than {_MOST_TRAININGS:,} trainings",
        lambda study: _n_trainings(study) <= _MOST_TRAININGS,
    ),
    StudyRule(
        f"quality.randomization_without must be among {', '.join(METHODS)}",
        lambda study: set(study.quality.randomization_without) <= set(METHODS),
    ),
    StudyRule(
        f"spray.spaces must be among {', '.join(SPRAY_SPACES)}",
        lambda study: set(study.spray.spaces) <= set(SPRAY_SPACES),
    ),
)


def _numbers(table: Mapping[str, Any], where: str) -> Iterator[tuple[str, float]]:
    """Yield key and value of every number of nested tables and lists."""
    for name, value in table.items():
        key = f"{where}{name}"
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{key}.")
        else:
            items = value if isinstance(value, tuple) else (value,)
            yield from ((key, item) for item in items if isinstance(item, float))
