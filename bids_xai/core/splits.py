"""Who trains, who validates, who tests: participants are split, never scans."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from bids_xai.errors import BadDataError, UsageError

Ints = npt.NDArray[np.int64]

PAPER_FRACTIONS: Mapping[str, float] = {"train": 0.70, "validation": 0.15, "test": 0.15}


def random_splits(
    participants: Sequence[str],
    classes: Sequence[str],
    fractions: Mapping[str, float] = PAPER_FRACTIONS,
    repeats: int = 10,
    seed: int = 0,
) -> list[dict[str, str]]:
    """Split participants at random within each class, ``repeats`` times.

    participants, classes : one entry a participant or a scan; a participant has one class
    fractions : set name -> share, summing to 1
    Returns one ``participant -> set name`` a repetition, ordered by participant. Each class is
    shared out by largest remainder, with at least one participant in every set. Repetition i
    depends on ``seed`` and i only: neither on ``repeats`` nor on the order of the input.

    Source: Tinauer et al. 2025, section II C (70:15:15, 10 repetitions).
    Raises ``UsageError`` for fractions that do not sum to 1, ``BadDataError`` for a class with
    fewer participants than sets or a participant in two classes.
    """
    if not fractions or min(fractions.values()) <= 0 or abs(sum(fractions.values()) - 1) > 1e-9:
        raise UsageError(
            f"Fractions {dict(fractions)} are not shares of 1",
            fix="give positive fractions that sum to 1",
        )
    members = _members_of_classes(participants, classes)
    for name, group in members.items():
        if len(group) < len(fractions):
            raise BadDataError(
                f"Class '{name}' has {len(group)} participants; every one of the sets "
                f"{', '.join(fractions)} needs one, so {len(fractions)} are needed",
                fix=f"add {len(fractions) - len(group)} participants to class '{name}'",
            )
    return [
        _one_split(members, fractions, np.random.default_rng((seed, repeat)))
        for repeat in range(repeats)
    ]


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


def _members_of_classes(
    participants: Sequence[str], classes: Sequence[str]
) -> dict[str, list[str]]:
    """Class -> its participants, both sorted."""
    class_of: dict[str, str] = {}
    for participant, name in zip(participants, classes, strict=True):
        if class_of.setdefault(participant, name) != name:
            raise BadDataError(
                f"Participant '{participant}' is in the classes '{class_of[participant]}' "
                f"and '{name}'",
                fix="give each participant one class, or leave the participant out",
            )
    return {
        name: sorted(p for p in class_of if class_of[p] == name)
        for name in sorted(set(class_of.values()))
    }


def _one_split(
    members: Mapping[str, list[str]], fractions: Mapping[str, float], rng: np.random.Generator
) -> dict[str, str]:
    split: dict[str, str] = {}
    for group in members.values():
        counts = _share_out(len(group), np.array(list(fractions.values())))
        sets = np.repeat(list(fractions), counts)
        order = rng.permutation(len(group))
        split |= {group[who]: str(name) for who, name in zip(order, sets, strict=True)}
    return dict(sorted(split.items()))


def _share_out(n: int, fractions: npt.NDArray[np.float64]) -> Ints:
    """Counts (n_sets,) that sum to ``n``: largest remainder, then at least one each."""
    ideal = n * fractions
    counts: Ints = np.floor(ideal + 1e-9).astype(np.int64)
    first = np.argsort(counts - ideal, kind="stable")[: n - counts.sum()]
    counts[first] += 1
    while counts.min() < 1:
        counts[counts.argmax()] -= 1
        counts[counts.argmin()] += 1
    return counts
