"""Who takes part and how they are shared out, in words."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from study_cases import described

from bids_xai.reports.study.methods.cohort import cohort_words, splits_words, target_words
from bids_xai.studies.tables import Cohort, Input, Splits, Undersampling


def test_what_is_not_asked_for_is_not_said() -> None:
    assert cohort_words(Cohort(exclude_failed_qc=False)) == ""
    words = cohort_words(Cohort(match=("age",), exclude_failed_qc=False))
    assert words == "The classes were matched 1:1 by propensity score on age."
    words = cohort_words(Cohort(include="age > 60", match=("age", "sex"), caliper=0.2))
    assert words.startswith("Participants were included where age > 60. Scans with quality")
    assert words.endswith("on age and sex, within 0.2 standard deviations of the logit.")


@pytest.mark.parametrize(("equalise", "within"), [("classes", "gender"), ("sexes", "class")])
def test_undersampling_says_what_is_equal_within_what(equalise: str, within: str) -> None:
    drawn = Undersampling(sex="gender", bin_years=2.5, equalise=equalise)
    words = cohort_words(Cohort(undersample=drawn, exclude_failed_qc=False))
    assert words == (
        f"Participants were drawn so that {equalise} are equally frequent in every band of 2.5 "
        f"years of age, within each {within}."
    )


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        (Splits("fixed"), "read from a file"),
        (Splits("kfold", repeats=1, folds=7), "to 7 folds; each fold was tested once."),
        (Splits("kfold", repeats=3), "to 5 folds; each fold was tested once, 3 times."),
        (Splits(repeats=1), "at random, 1 time: within each class 70 % for training, 15 %"),
        (
            Splits(counts=(4, 6)),
            "4 of each class for validation, 6 for test, the others for training",
        ),
        (Splits(stratify=("age:5", "sex")), "stratified by class and age:5 and sex."),
        (Splits(repetitions=2), "Every split was trained 2 times from different initial weights."),
        (Splits(test_baseline_only=True), "Only the first session of a participant was tested."),
    ],
)
def test_splits_in_words(splits: Splits, words: str) -> None:
    assert words in splits_words(splits)
    assert splits_words(splits).endswith("All scans of a participant are in one set.")


def test_maps_and_their_scaling_in_words(tmp_path: Path) -> None:
    study = described("quick", tmp_path)
    words = target_words(study)
    assert words.endswith("resampled to 5 mm voxels. Values were clipped at 100 and divided by 40.")
    assert "(after" not in words
    settings = dataclasses.replace(study.settings, input=Input(scaling="minmax"))
    description = dataclasses.replace(study.description, settings=settings)
    words = target_words(dataclasses.replace(study, name="rieke2018", description=description))
    assert words.startswith("The study rieke2018 (after Rieke et al. 2018) trained networks")
    assert words.endswith(
        "R2starmap maps in subject space. Every map was scaled to the range 0 to 1."
    )
