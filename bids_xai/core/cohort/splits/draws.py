"""Sets drawn from a class: how many of each, and who."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from bids_xai.arrays import Floats64, Ints
from bids_xai.errors import BadDataError


def split_by_fractions(
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
            split |= draw_sets(line_of([group], stratum_of, rng), sizes, rng)
            continue
        sets = np.repeat(list(fractions), counts)
        order = rng.permutation(len(group))
        split |= {group[who]: str(name) for who, name in zip(order, sets, strict=True)}
    return dict(sorted(split.items()))


def line_of(
    groups: Iterable[list[str]], stratum_of: Mapping[str, str] | None, rng: np.random.Generator
) -> list[str]:
    """Group after group, by stratum within a group, in chance order within a stratum."""
    line: list[str] = []
    for group in groups:
        mixed = [group[i] for i in rng.permutation(len(group))]
        line += mixed if stratum_of is None else sorted(mixed, key=lambda who: stratum_of[who])
    return line


def draw_sets(
    line: list[str], sizes: Mapping[str, int], rng: np.random.Generator
) -> dict[str, str]:
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
        split |= {line[position]: name for position in taken}
        line = [who for position, who in enumerate(line) if position not in taken]
    return split | dict.fromkeys(line, rest)


def sizes_of_sets(group: str, n: int, counts: Mapping[str, int | None]) -> dict[str, int]:
    """Set name -> size for a group of ``n``, the open set filled in."""
    left = n - sum(count for count in counts.values() if count is not None)
    is_open = None in counts.values()
    if left < int(is_open) or (left and not is_open):
        sizes = ", ".join(
            f"{name} ({'the rest' if count is None else count})" for name, count in counts.items()
        )
        raise BadDataError(
            f"{group} has {n} participants, which do not fill the sets {sizes}",
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
