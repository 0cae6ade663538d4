"""Splits at random within each class: by shares, or into sets of given sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bids_xai.core.cohort.splits.draws import draw_sets, line_of, sizes_of_sets, split_by_fractions
from bids_xai.core.cohort.splits.members import (
    check_classes_in_sets,
    members_of_classes,
    strata_of_participants,
)
from bids_xai.errors import BadDataError, UsageError

PAPER_FRACTIONS: Mapping[str, float] = {"train": 0.70, "validation": 0.15, "test": 0.15}


def random_splits(
    participants: Sequence[str],
    classes: Sequence[str],
    fractions: Mapping[str, float] = PAPER_FRACTIONS,
    repeats: int = 10,
    seed: int = 0,
    *,
    strata: Sequence[str] | None = None,
) -> list[dict[str, str]]:
    """Split participants at random within each class, ``repeats`` times.

    participants, classes : one entry a participant or a scan; a participant has one class
    fractions : set name -> share, summing to 1
    strata : one label an entry, such as age band and sex, whose mix all sets should have; see
        below
    Returns one ``participant -> set name`` a repetition, ordered by participant. Each class is
    shared out by largest remainder, with at least one participant in every set. Repetition i
    depends on ``seed`` and i only: neither on ``repeats`` nor on the order of the input.

    Strata change who is drawn, never how many of a class. The participants of a class stand in
    line by stratum (labels in order of text, chance order within one), and all sets but the
    largest are drawn in turn, smallest first, by systematic sampling: every k-th of those left,
    from a random start. So each stratum gives the first set its share to within one participant
    and later sets to within two. No stratum is too small: a few participants count together with
    their neighbours in the line, so labels should sort such that neighbours are alike.

    Source: Tinauer et al. 2025, section II C (70:15:15, 10 repetitions).
    Raises ``UsageError`` for fractions that do not sum to 1, ``BadDataError`` for a class with
    fewer participants than sets or a participant in two classes or strata.
    """
    if not fractions or min(fractions.values()) <= 0 or abs(sum(fractions.values()) - 1) > 1e-9:
        raise UsageError(
            f"Fractions {dict(fractions)} are not shares of 1",
            fix="give positive fractions that sum to 1",
        )
    members = members_of_classes(participants, classes)
    stratum_of = strata_of_participants(participants, strata)
    small = {name: len(group) for name, group in members.items() if len(group) < len(fractions)}
    if small:
        sizes = " and ".join(f"class '{name}' has {n} participants" for name, n in small.items())
        raise BadDataError(
            f"{sizes[0].upper()}{sizes[1:].replace(' has 1 participants', ' has 1 participant')}; "
            f"every one of the sets {', '.join(fractions)} needs one of each class, so "
            f"{len(fractions)} are needed",
            fix="add "
            + " and ".join(f"{len(fractions) - n} to class '{name}'" for name, n in small.items()),
        )
    return [
        split_by_fractions(members, fractions, stratum_of, np.random.default_rng((seed, repeat)))
        for repeat in range(repeats)
    ]


def fixed_counts(
    participants: Sequence[str],
    classes: Sequence[str],
    counts: Mapping[str, int | None],
    repeats: int = 10,
    seed: int = 0,
    *,
    per_class: bool = True,
    strata: Sequence[str] | None = None,
) -> list[dict[str, str]]:
    """Split participants at random into sets of given sizes, ``repeats`` times.

    participants, classes, strata : as for :func:`random_splits`
    counts : set name -> number of participants; ``None``, in one set at most, takes all others
    per_class : ``counts`` are of every class (30 patients and 30 controls), not of the whole
        cohort. Of the whole cohort every class gets its share, drawn as a stratum is
    Returns one ``participant -> set name`` a repetition, ordered by participant.

    Source: Böhle et al. 2019, 2.2 (30 + 30 test, 18 + 18 validation); Klingenberg et al. 2021
    (306, 63 and 63 participants, stratified by sex, diagnosis and age range).
    Raises ``UsageError`` for counts below 1 or several ``None``, ``BadDataError`` where counts and
    participants do not add up, for a set without a class, or a participant in two classes.
    """
    fixed = [count for count in counts.values() if count is not None]
    if not counts or len(fixed) < len(counts) - 1 or min(fixed, default=1) < 1:
        raise UsageError(
            f"{dict(counts)} are not sizes of sets",
            fix="give every set 1 participant or more, and leave at most one set open",
        )
    members = members_of_classes(participants, classes)
    stratum_of = strata_of_participants(participants, strata)
    class_of = {who: name for name, group in members.items() for who in group}
    groups = {f"Class '{name}'": [group] for name, group in members.items()}
    if not per_class:
        groups = {"The cohort": list(members.values())}
    sizes = {
        name: sizes_of_sets(name, sum(map(len, parts)), counts) for name, parts in groups.items()
    }
    splits = []
    for repeat in range(repeats):
        rng = np.random.default_rng((seed, repeat))
        split: dict[str, str] = {}
        for name, parts in groups.items():
            split |= draw_sets(line_of(parts, stratum_of, rng), sizes[name], rng)
        check_classes_in_sets(split, class_of, list(counts), "")
        splits.append(dict(sorted(split.items())))
    return splits
