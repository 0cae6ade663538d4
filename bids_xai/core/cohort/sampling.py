"""Undersampling, bands of age, strata.

Lists hold one entry a participant, as text from a table or as numbers. Chance depends on the seed
and on the order of the entries, so callers sort by participant. Missing is an empty text, ``n/a``
or ``nan``, in whatever case, None or NaN.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from bids_xai.arrays import Bools, Floats64, Ints
from bids_xai.core.cohort.cells import Value, number_of, refuse_missing
from bids_xai.errors import BadDataError


def undersample(
    classes: Sequence[str],
    ages: Sequence[Value],
    sexes: Sequence[str],
    *,
    bin_years: int = 5,
    seed: int = 0,
    equalise: str = "classes",
) -> Bools:
    """Whom to keep (n,) so that groups have the same ages: others are dropped at random.

    classes, ages (years), sexes : (n,)
    bin_years : width of the age bins, which start at its multiples (60-64, 65-69, …)
    equalise : ``classes`` keeps equally many of each class in every age bin of either sex;
        ``sexes`` equally many of each sex in every age bin of a class, as klingenberg2021 did.
        A bin in which one of them does not occur is dropped

    Raises ``BadDataError`` for a missing age or sex, or where nobody would be left.
    """
    if equalise not in ("classes", "sexes"):
        raise ValueError(f"equalise must be classes or sexes, got {equalise}")
    refuse_missing(sexes, "sex")
    bands = age_bands(ages, bin_years)
    same, other = (classes, sexes) if equalise == "classes" else (sexes, classes)
    cells: dict[tuple[int, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, (band, name, beside) in enumerate(zip(bands.tolist(), same, other, strict=True)):
        cells[band, beside][name].append(index)
    groups = sorted(set(same))
    rng = np.random.default_rng(seed)
    selected: Bools = np.zeros(len(classes), dtype=bool)
    for _, members in sorted(cells.items()):
        fewest = min(len(members[name]) for name in groups)
        for name in groups:
            selected[rng.permutation(np.array(members[name], dtype=np.int64))[:fewest]] = True
    if not selected.any():
        raise BadDataError(
            f"No age bin of {bin_years} years has all of {', '.join(groups)}",
            fix="use wider bins, or another cohort",
        )
    return selected


def age_bands(ages: Sequence[Value], band_years: int = 5) -> Ints:
    """Lowest age (n,) of each age's band in years: 60 for 60 to below 65.

    Raises ``BadDataError`` for ages that are missing or no numbers >= 0.
    """
    if band_years < 1:
        raise ValueError(f"age bands of {band_years} years")
    refuse_missing(ages, "age")
    numbers = [number_of(age) for age in ages]
    bad = [age for age, number in zip(ages, numbers, strict=True) if number is None or number < 0]
    if bad:
        raise BadDataError(f"'{bad[0]}' is not an age", fix="give ages as numbers of years")
    years: Floats64 = np.array(numbers, dtype=np.float64)
    bands: Ints = (years // band_years).astype(np.int64) * band_years
    return bands


def age_sex_strata(
    ages: Sequence[Value], sexes: Sequence[str], *, band_years: int = 5
) -> list[str]:
    """Label (n,) of sex and age band for ``strata`` of a split, such as ``F 065``.

    In order of text, neighbours are the same sex and the next age, as small strata need it
    (:func:`bids_xai.core.cohort.splits.random_splits`).
    Raises ``BadDataError`` for a missing age or sex.
    """
    refuse_missing(sexes, "sex")
    bands = age_bands(ages, band_years).tolist()
    return [f"{sex} {band:03d}" for band, sex in zip(bands, sexes, strict=True)]
