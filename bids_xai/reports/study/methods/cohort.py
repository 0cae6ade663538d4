"""What a study predicts from which maps, who takes part, and how they are shared out, in words."""

from __future__ import annotations

from bids_xai.reports.study.methods.words import listed, value_words
from bids_xai.reports.study.spray.analyses import SPACES
from bids_xai.reports.study_files import StudyFiles
from bids_xai.studies.tables import Cohort, Input, Splits
from bids_xai.tables.numbers import plural

_STUDIES = {
    "tinauer2025": "Tinauer et al. 2025",
    "boehle2019": "Boehle et al. 2019",
    "rieke2018": "Rieke et al. 2018",
    "eitel2019": "Eitel et al. 2019",
    "eitel2019-pretraining": "Eitel et al. 2019",
    "eitel-ritter2019": "Eitel and Ritter 2019",
    "eitel2021-pif": "Eitel et al. 2021",
    "klingenberg2021": "Klingenberg et al. 2021",
    "cam-lrp-thesis": "CAM and LRP thesis",
    "cam-lrp-digits": "CAM and LRP thesis",
}
_SCALINGS = {
    "minmax": "Every map was scaled to the range 0 to 1.",
    "zscore": "Every voxel was standardised by mean and standard deviation over training scans.",
}


def target_words(study: StudyFiles) -> str:
    """Return what is predicted, and from which maps."""
    target, maps = study.settings.target, study.settings.input
    paper = _STUDIES.get(study.name)
    others = [name for name in study.names if name != study.classes[1]]
    resampled = f", resampled to {value_words(maps.voxel_mm)} mm voxels." if maps.voxel_mm else "."
    return (
        f"The study {study.name}{f' (after {paper})' if paper else ''} trained networks to "
        f"distinguish {study.classes[1]} (positive class) from {listed(others)}, by the column "
        f"{target.column} of {target.table}.tsv. Input: {maps.suffix} maps in "
        f"{SPACES.get(maps.space)}{resampled} {_scaling(maps)}"
    )


def _scaling(maps: Input) -> str:
    if maps.scaling != "fixed":
        return _SCALINGS[maps.scaling]
    cut = f"clipped at {value_words(maps.maximum)} and " if maps.maximum else ""
    return f"Values were {cut}divided by {value_words(maps.scale)}."


def cohort_words(cohort: Cohort) -> str:
    """Return who takes part; empty where everybody does."""
    sentences = []
    if cohort.include:
        sentences.append(f"Participants were included where {cohort.include}.")
    if cohort.exclude_failed_qc:
        sentences.append("Scans with quality metrics outside their limits were excluded.")
    if cohort.match:
        caliper = f", within {value_words(cohort.caliper)} standard deviations of the logit"
        sentences.append(
            f"The classes were matched 1:1 by propensity score on {listed(cohort.match)}"
            f"{caliper if cohort.caliper else ''}."
        )
    drawn = cohort.undersample
    if drawn is not None:
        within = drawn.sex if drawn.equalise == "classes" else "class"
        sentences.append(
            f"Participants were drawn so that {drawn.equalise} are equally frequent in every "
            f"band of {value_words(drawn.bin_years)} years of {drawn.age}, within each {within}."
        )
    return " ".join(sentences)


def splits_words(splits: Splits) -> str:
    """Return how participants are shared out to training, validation and test."""
    if splits.scheme == "fixed":
        text = "Training, validation and test sets were read from a file."
    elif splits.scheme == "kfold":
        text = f"Participants were divided into {splits.folds} folds; each fold was tested once"
        text += f", {splits.repeats} times." if splits.repeats > 1 else "."
    else:
        text = f"Participants were split at random, {plural(splits.repeats, 'time')}: "
        text += _shares(splits)
    if splits.stratify:
        text += f" The sets were stratified by class and {listed(splits.stratify)}."
    if splits.repetitions > 1:
        text += (
            f" Every split was trained {splits.repetitions} times from different initial weights."
        )
    if splits.test_baseline_only:
        text += " Only the first session of a participant was tested."
    return f"{text} All scans of a participant are in one set."


def _shares(splits: Splits) -> str:
    if splits.counts:
        n_validation, n_test = splits.counts[:2]
        return (
            f"{n_validation} of each class for validation, {n_test} for test, the others for "
            "training."
        )
    train, validation, test = (f"{100 * share:g} %" for share in splits.fractions)
    return f"within each class {train} for training, {validation} for validation, {test} for test."
