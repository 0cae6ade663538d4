"""Undersampling and bands of age."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from bids_xai.core.cohort import age_bands, age_sex_strata, undersample
from bids_xai.errors import BadDataError


def _cells(*columns: list[str], kept: np.ndarray) -> Counter[tuple[str, ...]]:
    return Counter(
        cell for cell, keep in zip(zip(*columns, strict=True), kept, strict=True) if keep
    )


def test_undersampling_by_hand() -> None:
    classes = ["AD"] * 5 + ["NC"] * 7
    ages = [60, "64.9", "65", 71, "72", 61, 62, 63, 66, 70, "74.5", 80]
    sexes = list("FFFMM") + list("FFFMMMM")
    kept = undersample(classes, ages, sexes, seed=1)
    # F 60-64: 2 of each; F 65-69: no NC; M 65-69: no AD; M 70-74: 2 of each; M 80: no AD
    assert kept.tolist()[:5] == [True, True, False, True, True]
    assert kept[5:8].sum() == 2
    assert kept[8:].tolist() == [False, True, True, False]
    as_in_the_paper = undersample(classes, ages, sexes, seed=1, equalise="sexes", bin_years=20)
    # AD 60-79: 3 F, 2 M; NC 60-79: 3 F, 3 M; NC 80: no F
    assert (as_in_the_paper[:3].sum(), as_in_the_paper[3:5].sum()) == (2, 2)
    assert as_in_the_paper[5:].tolist() == [True] * 6 + [False]


@pytest.mark.parametrize("equalise", ["classes", "sexes"])
def test_undersampling_keeps_as_many_as_it_can(equalise: str) -> None:
    rng = np.random.default_rng(3)
    classes = rng.choice(["AD", "MCI", "NC"], 300, p=[0.2, 0.3, 0.5]).tolist()
    sexes = rng.choice(["F", "M"], 300).tolist()
    ages = rng.normal(70, 6, 300).tolist()
    kept = undersample(classes, ages, sexes, equalise=equalise)
    bands = [str(int(age // 5)) for age in ages]
    groups, beside = (classes, sexes) if equalise == "classes" else (sexes, classes)
    before = _cells(bands, beside, groups, kept=np.ones(300, dtype=bool))
    after = _cells(bands, beside, groups, kept=kept)
    for band, other in {(band, other) for band, other, _ in before}:
        fewest = min(before[band, other, name] for name in set(groups))
        assert all(after[band, other, name] == fewest for name in set(groups))
    assert undersample(classes, ages, sexes, equalise=equalise).tolist() == kept.tolist()
    again = undersample(classes, ages, sexes, equalise=equalise, seed=1)
    assert again.sum() == kept.sum()
    assert again.tolist() != kept.tolist()


def test_undersampling_draws_at_random() -> None:
    classes, sexes, ages = ["AD", *["NC"] * 4], ["F"] * 5, [60] * 5
    drawn = [undersample(classes, ages, sexes, seed=seed) for seed in range(400)]
    np.testing.assert_allclose(np.mean(drawn, axis=0), [1, 0.25, 0.25, 0.25, 0.25], atol=0.08)


def test_undersampling_needs_ages_sexes_and_somebody_left() -> None:
    with pytest.raises(BadDataError, match="'age' is missing for 1 of 2"):
        undersample(["a", "b"], ["60", "n/a"], ["F", "F"])
    with pytest.raises(BadDataError, match="'sex' is missing for 2 of 2"):
        undersample(["a", "b"], ["60", "61"], ["", "n/a"])
    with pytest.raises(BadDataError, match="'90\\+' is not an age"):
        undersample(["a", "b"], ["60", "90+"], ["F", "F"])
    with pytest.raises(BadDataError, match="No age bin of 5 years has all of a, b"):
        undersample(["a", "b"], ["60", "70"], ["F", "F"])
    with pytest.raises(ValueError, match="equalise"):
        undersample(["a"], ["60"], ["F"], equalise="ages")


def test_age_bands_start_at_multiples() -> None:
    assert age_bands([60, "64.9", 65.0, "104", 4]).tolist() == [60, 60, 65, 100, 0]
    assert age_bands([60, 69, 70], 10).tolist() == [60, 60, 70]
    assert age_sex_strata([65, 101, 7], ["F", "M", "F"]) == ["F 065", "M 100", "F 005"]
    with pytest.raises(BadDataError, match="'-1' is not an age"):
        age_bands([-1])
    with pytest.raises(ValueError, match="0 years"):
        age_bands([60], 0)
    with pytest.raises(BadDataError, match="'sex' is missing"):
        age_sex_strata([60], ["n/a"])
