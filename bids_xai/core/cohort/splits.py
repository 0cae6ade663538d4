"""Who trains, who validates, who tests: participants are split, never scans.

Every split is a ``participant -> set name``, depends on the seed and the number of the repetition
only, and not on the order of the input. Input is one entry a participant or a scan: whoever comes
again must come with the same class and the same stratum.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bids_xai.arrays import Floats64, Ints
from bids_xai.errors import BadDataError, UsageError

PAPER_FRACTIONS: Mapping[str, float] = {"train": 0.70, "validation": 0.15, "test": 0.15}
SETS = ("train", "validation", "test")


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
    members = _members_of_classes(participants, classes)
    stratum_of = _stratum_of(participants, strata)
    small = {name: len(group) for name, group in members.items() if len(group) < len(fractions)}
    if small:
        told = " and ".join(f"class '{name}' has {n} participants" for name, n in small.items())
        raise BadDataError(
            f"{told[0].upper()}{told[1:].replace(' has 1 participants', ' has 1 participant')}; "
            f"every one of the sets {', '.join(fractions)} needs one of each class, so "
            f"{len(fractions)} are needed",
            fix="add "
            + " and ".join(f"{len(fractions) - n} to class '{name}'" for name, n in small.items()),
        )
    return [
        _one_split(members, fractions, stratum_of, np.random.default_rng((seed, repeat)))
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
    known = [count for count in counts.values() if count is not None]
    if not counts or len(known) < len(counts) - 1 or min(known, default=1) < 1:
        raise UsageError(
            f"{dict(counts)} are not sizes of sets",
            fix="give every set 1 participant or more, and leave one set open at most",
        )
    members = _members_of_classes(participants, classes)
    stratum_of = _stratum_of(participants, strata)
    class_of = {who: name for name, group in members.items() for who in group}
    groups = {f"Class '{name}'": [group] for name, group in members.items()}
    if not per_class:
        groups = {"The cohort": list(members.values())}
    sizes = {name: _sizes(name, sum(map(len, parts)), counts) for name, parts in groups.items()}
    splits = []
    for repeat in range(repeats):
        rng = np.random.default_rng((seed, repeat))
        split: dict[str, str] = {}
        for name, parts in groups.items():
            split |= _draw(_line(parts, stratum_of, rng), sizes[name], rng)
        _check_classes_in_sets(split, class_of, list(counts), "")
        splits.append(dict(sorted(split.items())))
    return splits


def kfold_splits(
    participants: Sequence[str],
    classes: Sequence[str],
    n_folds: int,
    *,
    validation_share: float = 0.15,
    seed: int = 0,
    repeats: int = 1,
    strata: Sequence[str] | None = None,
) -> list[dict[str, str]]:
    """Cross-validation: every participant is in the test set of one of ``n_folds`` splits.

    participants, classes, strata : as for :func:`random_splits`
    validation_share : share of each class that validates, of those who do not test; 0 for no
        validation set
    Returns ``n_folds * repeats`` splits into ``train``, ``validation`` and ``test``, the folds of
    a repetition one after the other. Participants stand in line by class and stratum, in chance
    order within, and are dealt to the folds in turn: folds differ by one participant at most, as
    a whole, within each class and within each stratum. Validation is drawn from the others of
    each class as :func:`random_splits` draws its sets.

    Source: Rieke et al. 2018 (5 folds by participant).
    Raises ``UsageError`` for fewer than two folds or an impossible share, ``BadDataError`` for a
    class too small for the folds or a participant in two classes or strata.
    """
    if n_folds < 2 or not 0 <= validation_share < 1:
        raise UsageError(
            f"{n_folds} folds with a validation share of {validation_share:g} are impossible",
            fix="ask for 2 folds or more and a share from 0 to below 1",
        )
    members = _members_of_classes(participants, classes)
    stratum_of = _stratum_of(participants, strata)
    for name, group in members.items():
        left = len(group) - -(-len(group) // n_folds)
        if len(group) < n_folds or (validation_share and left < 2):
            raise BadDataError(
                f"Class '{name}' has {len(group)} participants, too few for {n_folds} folds"
                f"{' with a validation set' if validation_share else ''}",
                fix=f"ask for fewer folds, or add participants to class '{name}'",
            )
    splits = []
    for repeat in range(repeats):
        rng = np.random.default_rng((seed, repeat))
        line = _line(members.values(), stratum_of, rng)
        folds = rng.permutation(n_folds)
        fold_of = {who: int(folds[place % n_folds]) for place, who in enumerate(line)}
        for fold in range(n_folds):
            rest = {
                name: [who for who in group if fold_of[who] != fold]
                for name, group in members.items()
            }
            shares = {"train": 1 - validation_share}
            if validation_share:
                shares["validation"] = validation_share
            inner = np.random.default_rng((seed, repeat, fold))
            split = _one_split(rest, shares, stratum_of, inner)
            split |= {who: "test" for who in line if fold_of[who] == fold}
            splits.append(dict(sorted(split.items())))
    return splits


def listed_splits(
    rows: Iterable[tuple[str, str, str]],
    participants: Sequence[str],
    classes: Sequence[str],
    *,
    sets: Sequence[str] = SETS,
    complete: bool = True,
) -> list[dict[str, str]]:
    """Splits that a table gives, checked.

    rows : (participant, split, set), in whatever order; the same row may come again
    participants, classes : the cohort, as for :func:`random_splits`
    sets : the sets that every split must have, and no other
    complete : every participant of the cohort must be in every split; otherwise whoever is not
        listed is in no set
    Returns one ``participant -> set name`` a split, ordered by the split's number where all are
    numbers, else by text.
    Raises ``BadDataError`` for an unknown participant or set, a participant in two sets of a
    split, a split without one of the sets, a set without one of the classes, or, if
    ``complete``, a participant who is in no set.
    """
    members = _members_of_classes(participants, classes)
    class_of = {who: name for name, group in members.items() for who in group}
    listed: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for who, split, name in rows:
        if who not in class_of:
            raise BadDataError(
                f"Split '{split}' lists participant '{who}', who is not in the cohort",
                fix="correct the label, take the row out, or include the participant",
            )
        if name not in sets:
            raise BadDataError(
                f"Split '{split}' puts participant '{who}' into the unknown set '{name}'",
                fix=f"use {', '.join(sets)}",
            )
        listed[split].append((who, name))
    if not listed:
        raise BadDataError(
            "The list of splits is empty", fix="give rows of participant, split and set"
        )
    numbers = all(split.isdecimal() for split in listed)
    result = []
    for split in sorted(listed, key=lambda name: (int(name) if numbers else 0, name)):
        check_no_leakage(*zip(*listed[split], strict=True))
        members_of_split = dict(sorted(listed[split]))
        _check_classes_in_sets(members_of_split, class_of, sets, f" of split '{split}'")
        unlisted = sorted(set(class_of) - set(members_of_split))
        if complete and unlisted:
            raise BadDataError(
                f"Split '{split}' has no set for {', '.join(unlisted)}",
                fix="list every participant of the cohort, or leave these out of it",
            )
        result.append(members_of_split)
    return result


def check_no_leakage(scan_participants: Sequence[str], scan_sets: Sequence[str]) -> None:
    """Raise ``BadDataError`` where scans of one participant lie in more than one set.

    scan_participants, scan_sets : participant and set of every scan
    """
    sets: dict[str, set[str]] = defaultdict(set)
    for participant, name in zip(scan_participants, scan_sets, strict=True):
        sets[participant].add(name)
    leaking = sorted(participant for participant, names in sets.items() if len(names) > 1)
    if leaking:
        raise BadDataError(
            f"Scans of {', '.join(leaking)} lie in more than one set "
            f"({', '.join(sorted(sets[leaking[0]]))})",
            fix="split participants, not scans",
        )


def split_hash(split: Mapping[str, str]) -> str:
    """Sixteen hexadecimal digits that identify ``participant -> set name``, in whatever order."""
    text = json.dumps(dict(split), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


def _check_classes_in_sets(
    split: Mapping[str, str], class_of: Mapping[str, str], sets: Sequence[str], where: str
) -> None:
    """Raise ``BadDataError`` for a set that nobody is in, or nobody of one of the classes."""
    present = {(name, class_of[who]) for who, name in split.items()}
    for name in sets:
        if not any(found == name for found, _ in present):
            raise BadDataError(f"Set '{name}'{where} is missing", fix="put participants into it")
        empty = sorted(c for c in set(class_of.values()) if (name, c) not in present)
        if empty:
            raise BadDataError(
                f"Set '{name}'{where} has no participant of class '{empty[0]}'",
                fix="put participants of every class into every set",
            )


def _members_of_classes(
    participants: Sequence[str], classes: Sequence[str]
) -> dict[str, list[str]]:
    """Class -> its participants, both sorted."""
    class_of = _label_of(participants, classes, "classes", "class")
    return {
        name: sorted(p for p in class_of if class_of[p] == name)
        for name in sorted(set(class_of.values()))
    }


def _stratum_of(participants: Sequence[str], strata: Sequence[str] | None) -> dict[str, str] | None:
    """Participant -> stratum; None without strata."""
    return None if strata is None else _label_of(participants, strata, "strata", "stratum")


def _label_of(
    participants: Sequence[str], labels: Sequence[str], plural: str, singular: str
) -> dict[str, str]:
    """Participant -> the one label all its entries have."""
    label_of: dict[str, str] = {}
    for participant, name in zip(participants, labels, strict=True):
        if label_of.setdefault(participant, name) != name:
            raise BadDataError(
                f"Participant '{participant}' is in the {plural} '{label_of[participant]}' "
                f"and '{name}'",
                fix=f"give each participant one {singular}, or leave the participant out",
            )
    return label_of


def _one_split(
    members: Mapping[str, list[str]],
    fractions: Mapping[str, float],
    stratum_of: Mapping[str, str] | None,
    rng: np.random.Generator,
) -> dict[str, str]:
    split: dict[str, str] = {}
    for group in members.values():
        counts = _share_out(len(group), np.array(list(fractions.values())))
        if stratum_of is not None:
            sizes = dict(zip(fractions, counts.tolist(), strict=True))
            split |= _draw(_line([group], stratum_of, rng), sizes, rng)
            continue
        sets = np.repeat(list(fractions), counts)
        order = rng.permutation(len(group))
        split |= {group[who]: str(name) for who, name in zip(order, sets, strict=True)}
    return dict(sorted(split.items()))


def _line(
    groups: Iterable[list[str]], stratum_of: Mapping[str, str] | None, rng: np.random.Generator
) -> list[str]:
    """Group after group, by stratum within a group, in chance order within a stratum."""
    line: list[str] = []
    for group in groups:
        mixed = [group[i] for i in rng.permutation(len(group))]
        line += mixed if stratum_of is None else sorted(mixed, key=lambda who: stratum_of[who])
    return line


def _draw(line: list[str], sizes: Mapping[str, int], rng: np.random.Generator) -> dict[str, str]:
    """Draw sets of given sizes from a line by systematic sampling; the largest takes the rest.

    With m of n to draw and a whole number s drawn from 0 to n - 1, places (s + i n) // m are
    taken for i = 0 … m - 1: every place with probability m / n, and of every stretch of the line
    its share to within one.
    """
    split: dict[str, str] = {}
    *drawn_sets, rest = sorted(sizes, key=lambda name: sizes[name])
    for name in drawn_sets:
        start = int(rng.integers(len(line)))
        taken = {(start + i * len(line)) // sizes[name] for i in range(sizes[name])}
        split |= {line[place]: name for place in taken}
        line = [who for place, who in enumerate(line) if place not in taken]
    return split | dict.fromkeys(line, rest)


def _sizes(group: str, n: int, counts: Mapping[str, int | None]) -> dict[str, int]:
    """Set name -> size for a group of ``n``, the open set filled in."""
    left = n - sum(count for count in counts.values() if count is not None)
    is_open = None in counts.values()
    if left < int(is_open) or (left and not is_open):
        wanted = ", ".join(
            f"{name} ({'the rest' if count is None else count})" for name, count in counts.items()
        )
        raise BadDataError(
            f"{group} has {n} participants, which do not fill the sets {wanted}",
            fix="change the sizes of the sets, or leave one open to take the rest",
        )
    return {name: left if count is None else count for name, count in counts.items()}


def _share_out(n: int, fractions: Floats64) -> Ints:
    """Counts (n_sets,) that sum to ``n``: largest remainder, then at least one each."""
    ideal = n * fractions
    counts: Ints = np.floor(ideal + 1e-9).astype(np.int64)
    first = np.argsort(counts - ideal, kind="stable")[: n - counts.sum()]
    counts[first] += 1
    while counts.min() < 1:
        counts[counts.argmax()] -= 1
        counts[counts.argmin()] += 1
    return counts
