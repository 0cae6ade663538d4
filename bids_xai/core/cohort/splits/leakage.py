"""No participant in two sets; what identifies a split."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence

from bids_xai.errors import BadDataError


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
            f"Scans of {', '.join(leaking)} are in more than one set "
            f"({', '.join(sorted(sets[leaking[0]]))})",
            fix="split participants, not scans",
        )


def split_hash(split: Mapping[str, str]) -> str:
    """Sixteen hexadecimal digits that identify ``participant -> set name``, in whatever order."""
    text = json.dumps(dict(split), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]
