"""Which participant is in which set of which split, as the study says."""

from __future__ import annotations

from pathlib import Path

from bids_xai.core.cohort.sampling import age_bands
from bids_xai.core.cohort.splits import fixed_counts, kfold_splits, listed_splits, random_splits
from bids_xai.errors import BadDataError, NoInputError
from bids_xai.group.cohort.selection import Candidate
from bids_xai.group.context import GroupContext
from bids_xai.group.people import read_table, with_prefix
from bids_xai.studies.tables import Splits

SETS = ("train", "validation", "test")
Split = dict[str, str]


def assign(context: GroupContext, scans: list[Candidate]) -> list[Split]:
    """Return one ``sub-X -> set`` a split; every repetition of a split is one of its own.

    A participant who changes class between sessions counts as of the class of the first.
    """
    splits = context.study.splits
    first: dict[str, Candidate] = {}
    for scan in scans:
        first.setdefault(scan.participant, scan)
    names = sorted(first)
    classes = [first[name].class_name for name in names]
    found = _made(context, names, classes, _strata([first[name] for name in names], splits))
    return [split for split in found for _ in range(splits.repetitions)]


def _made(
    context: GroupContext, names: list[str], classes: list[str], strata: list[str] | None
) -> list[Split]:
    splits, seed = context.study.splits, context.settings.random_seed
    if splits.scheme == "fixed":
        return listed_splits(_listed(Path(splits.file)), names, classes)
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
        name, _, years = column.partition(":")
        missing = [one.participant for one in people if name not in one.row]
        if missing:
            raise BadDataError(
                f"splits.stratify asks for '{name}', which {missing[0]} does not have",
                fix="add the column to participants.tsv, or take it out of the study file",
            )
        values = [one.row[name] for one in people]
        if years:
            bands = age_bands(values, int(years)) if years.isdigit() and int(years) else None
            if bands is None:
                raise BadDataError(
                    f"splits.stratify has '{column}'", fix="write age:5 for bands of five years"
                )
            values = [f"{band:03d}" for band in bands]
        labels = [f"{label} {value}".strip() for label, value in zip(labels, values, strict=True)]
    return labels


def _listed(path: Path) -> list[tuple[str, str, str]]:
    """The rows (participant, split, set) of a user's table."""
    if not path.is_file():
        raise NoInputError("no such table of splits", file=path, fix="check splits.file")
    header, rows = read_table(path)
    for needed in ("participant_id", "split", "set"):
        if needed not in header:
            raise BadDataError(f"no column '{needed}'", file=path, fix="add it")
    return [(with_prefix(r["participant_id"]), r["split"], r["set"]) for _, r in rows]
