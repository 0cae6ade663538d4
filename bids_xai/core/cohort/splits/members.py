"""Who is of which class and stratum, and whether every set has all classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bids_xai.errors import BadDataError


def members_of_classes(participants: Sequence[str], classes: Sequence[str]) -> dict[str, list[str]]:
    """Class -> its participants, both sorted."""
    class_of = _label_of(participants, classes, "classes", "class")
    return {
        name: sorted(p for p in class_of if class_of[p] == name)
        for name in sorted(set(class_of.values()))
    }


def strata_of_participants(
    participants: Sequence[str], strata: Sequence[str] | None
) -> dict[str, str] | None:
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


def check_classes_in_sets(
    split: Mapping[str, str], class_of: Mapping[str, str], sets: Sequence[str], where: str
) -> None:
    """Raise ``BadDataError`` for a set that nobody is in, or nobody of one of the classes."""
    present = {(name, class_of[who]) for who, name in split.items()}
    for name in sets:
        if not any(set_name == name for set_name, _ in present):
            raise BadDataError(f"Set '{name}'{where} is missing", fix="put participants into it")
        empty = sorted(c for c in set(class_of.values()) if (name, c) not in present)
        if empty:
            raise BadDataError(
                f"Set '{name}'{where} has no participant of class '{empty[0]}'",
                fix="put participants of every class into every set",
            )
