"""Splits that a table gives, checked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from bids_xai.core.cohort.splits.leakage import check_no_leakage
from bids_xai.core.cohort.splits.members import check_classes_in_sets, members_of_classes
from bids_xai.errors import BadDataError

SETS = ("train", "validation", "test")


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
    members = members_of_classes(participants, classes)
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
        check_classes_in_sets(members_of_split, class_of, sets, f" of split '{split}'")
        unlisted = sorted(set(class_of) - set(members_of_split))
        if complete and unlisted:
            raise BadDataError(
                f"Split '{split}' has no set for {', '.join(unlisted)}",
                fix="list every participant of the cohort, or leave these out of it",
            )
        result.append(members_of_split)
    return result
