"""Which participant is in which set of which split, as the study says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bids_xai.bids.user_tables import read_user_table, with_prefix
from bids_xai.core.cohort.sampling import age_bands
from bids_xai.core.cohort.splits import fixed_counts, kfold_splits, listed_splits, random_splits
from bids_xai.errors import BadDataError, NoInputError
from bids_xai.group.cohort.selection import Candidate, first_scans
from bids_xai.studies.tables import Splits

SETS = ("train", "validation", "test")
Split = dict[str, str]
ListedMember = tuple[str, str, str]
"""A participant, a split and a set, as a user's table has them."""


def assign(
    splits: Splits, scans: Sequence[Candidate], seed: int, listed: Sequence[ListedMember] = ()
) -> list[Split]:
    """Return one ``sub-X -> set`` a split; every repetition of a split is one of its own.

    scans : those included; listed : for the scheme ``fixed``, see :func:`read_listed`
    A participant who changes class between sessions counts as of the class of the first.
    Raises :class:`BadDataError` where the scans cannot be split like that.
    """
    people = first_scans(scans)
    names = [candidate.participant for candidate in people]
    classes = [candidate.class_name for candidate in people]
    strata = _strata(people, splits)
    if splits.scheme == "fixed":
        assigned = listed_splits(listed, names, classes)
    else:
        assigned = _drawn(splits, names, classes, strata, seed)
    return [split for split in assigned for _ in range(splits.repetitions)]


def _drawn(
    splits: Splits, names: list[str], classes: list[str], strata: list[str] | None, seed: int
) -> list[Split]:
    """The splits of a scheme that draws them."""
    if splits.scheme == "kfold":
        share = splits.fractions[1] / (splits.fractions[0] + splits.fractions[1])
        return kfold_splits(
            names,
            classes,
            splits.folds,
            validation_share=share,
            seed=seed,
            repeats=splits.repeats,
            strata=strata,
        )
    if splits.counts:
        sizes = dict(zip(SETS, (None, *splits.counts), strict=True))
        return fixed_counts(names, classes, sizes, splits.repeats, seed, strata=strata)
    total = sum(splits.fractions)  # three thirds may be written 0.3333333
    shares = {name: share / total for name, share in zip(SETS, splits.fractions, strict=True)}
    return random_splits(names, classes, shares, splits.repeats, seed, strata=strata)


def _strata(people: list[Candidate], splits: Splits) -> list[str] | None:
    """One label a participant from the columns of ``splits.stratify``; ``age:5`` is a band."""
    if not splits.stratify:
        return None
    labels = [""] * len(people)
    for column in splits.stratify:
        values = _stratum(people, column)
        labels = [f"{label} {value}".strip() for label, value in zip(labels, values, strict=True)]
    return labels


def _stratum(people: list[Candidate], column: str) -> list[str]:
    """The values of a column, as bands of years where it asks for them."""
    name, _, years = column.partition(":")
    missing = [candidate.participant for candidate in people if name not in candidate.row]
    if missing:
        raise BadDataError(
            f"splits.stratify asks for '{name}', which {missing[0]} does not have",
            fix="add the column to participants.tsv, or remove it from the study file",
        )
    values = [candidate.row[name] for candidate in people]
    if not years:
        return values
    bands = age_bands(values, int(years)) if years.isdigit() and int(years) else None
    if bands is None:
        raise BadDataError(
            f"splits.stratify has '{column}'", fix="write age:5 for bands of five years"
        )
    return [f"{band:03d}" for band in bands]


def read_listed(path: Path) -> list[ListedMember]:
    """Return the rows (participant, split, set) of a user's table.

    Raises :class:`NoInputError` without the file, :class:`BadDataError` without a column or for
    a broken table.
    """
    if not path.is_file():
        raise NoInputError("no such table of splits", file=path, fix="check splits.file")
    table = read_user_table(path, ("participant_id", "split", "set"))
    return [(with_prefix(r["participant_id"]), r["split"], r["set"]) for _, r in table.rows]
