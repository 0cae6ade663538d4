"""What an audit of clusters says in words: covariates, findings, sentences, scans to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_xai.arrays import Bools, Floats64, Ints
from bids_xai.core.spray.audit_tests import GroupTest

LEAST_SHARE, LEAST_RATIO = 0.25, 1.5
"""Least share of relevance at a place that counts, and its ratio to the other clusters'."""

EXPECTED, SUSPECT, PERSONAL, MODEL = "expected", "suspect", "personal", "model"
"""What a cluster may go with: the diagnosis; site, scanner, quality or the place of relevance; age
and other traits of the person; the split, which stands for the model that made the heatmap."""

_EXAMPLES = 3


@dataclass(frozen=True)
class Covariate:
    """One column of what is known of n scans.

    values : (n,) text (empty: missing) or numbers (NaN: missing)
    kind : see :data:`EXPECTED`; words : how a sentence calls it
    is_share : the values are shares of relevance, computed from the maps that made the clusters:
        they count from ``least`` on, as some difference is certain
    misplaced : they are shares at a place where none should be: no trait of the person, so that
        they count even where the diagnosis explains them
    least : share, and ratio to other clusters', from which a share of relevance counts
    cluster : the only cluster (from 0) that the values say something about; None for all
    """

    name: str
    values: npt.NDArray[np.str_] | Floats64
    kind: str
    words: str
    is_share: bool = False
    misplaced: bool = False
    least: tuple[float, float] = (LEAST_SHARE, LEAST_RATIO)
    cluster: int | None = None

    @property
    def is_text(self) -> bool:
        """Whether the values are text."""
        return self.values.dtype.kind == "U"

    @property
    def present(self) -> Bools:
        """Which values (n,) are not missing."""
        return self.values != "" if self.is_text else np.isfinite(self.values.astype(np.float64))


@dataclass(frozen=True)
class AuditRow:
    """One cluster (from 0) against one covariate; n : units tested; q : false-discovery rates."""

    cluster: int
    covariate: Covariate
    test: GroupTest
    n: int
    q: float
    q_within: float | None
    counts: bool
    """Whether the effect is large and sure enough to say that the cluster goes with it."""
    inseparable: bool
    """Whether it is, but nothing can be told within the classes (and splits)."""

    @property
    def effect(self) -> float:
        """The effect size that a finding rests on: within strata, but for the diagnosis."""
        within = None if self.covariate.kind == EXPECTED else self.test.effect_within
        return self.test.effect_size if within is None else within


@dataclass(frozen=True)
class Verdict:
    """What the audit says of one cluster (from 0).

    finding : ``suspicious``, ``model``, ``personal``, ``diagnosis`` or ``none``
    strength : largest absolute effect size behind the finding, 0 for none
    examples : up to three of its scans to look at
    """

    cluster: int
    finding: str
    strength: float
    text: str
    examples: tuple[int, ...]


def means_of(covariate: Covariate, member: Bools, splits: Ints) -> tuple[float, float]:
    """Means of the numbers of a cluster's scans, and of others of the same splits.

    member, splits : (n,); the others of each split count as often as the cluster's scans of it.
    NaN where there are none.
    """
    values, present = covariate.values.astype(np.float64), covariate.present
    of_cluster, others, weights = [], [], []
    for split in np.unique(splits[member & present]):
        inside = values[member & present & (splits == split)]
        of_cluster.append(inside)
        outside = values[~member & present & (splits == split)]
        if outside.size:
            others.append(outside.mean())
            weights.append(inside.size)
    mean = float(np.concatenate(of_cluster).mean()) if of_cluster else float("nan")
    return mean, float(np.average(others, weights=weights)) if others else float("nan")


def verdict_on(
    cluster: int,
    rows: Sequence[AuditRow],
    labels: Ints,
    splits: Ints,
    people: Ints,
    classes: Sequence[str],
    stability: Floats64 | None,
    survives: Bools | None,
    locations: Mapping[int, str],
) -> Verdict:
    """Say what the tests of a cluster (from 0) come to.

    labels, splits, people : (n,) of each heatmap, as numbers
    """
    member, tests = labels == cluster, [row for row in rows if row.cluster == cluster]
    noun = "heatmap" if splits.max() else "scan"  # of several models a scan may have several
    behind = sorted((row for row in tests if row.counts), key=lambda row: -abs(row.effect))
    by_kind = {
        kind: [row for row in behind if row.covariate.kind == kind]
        for kind in (SUSPECT, MODEL, PERSONAL, EXPECTED)
    }
    finding, kind = next(
        (
            (name, kind)
            for name, kind in (
                ("suspicious", SUSPECT),
                ("model", MODEL),
                ("personal", PERSONAL),
                ("diagnosis", EXPECTED),
            )
            if by_kind[kind]
        ),
        ("none", ""),
    )
    because = by_kind.get(kind, [])
    if member.all():
        text = (
            f"All {member.size} {noun}s form one cluster ({_composition(classes, member)}): there "
            "is nothing to compare."
        )
        return Verdict(cluster, "none", 0.0, text, _examples([], member, people))
    opening = _OPENING[finding] if tests else _NOT_TESTED
    text = f"{_heading(cluster, member, stability, noun)} {opening}"
    if because:
        text += ": " + "; ".join(_sentence(row, member, splits, noun) for row in because[:4])
    if blurred := [row for row in tests if row.inseparable]:
        text += (
            ". It is also associated with what cannot be separated from the class here: "
            + ", ".join(f"{row.covariate.words} ({_size(row)})" for row in blurred[:4])
        )
    text += f". Classes: {_composition(classes, member)}."
    if cluster in locations:
        text += f" {locations[cluster]}"
    if survives is not None and not survives[cluster]:
        text += " It does not survive resampling: interpret it with caution."
    strength = max((abs(row.effect) for row in because), default=0.0)
    return Verdict(cluster, finding, strength, text, _examples(because, member, people))


_OPENING = {
    "suspicious": "is suspicious",
    "model": "reflects the model that produced the heatmaps",
    "personal": "is associated with a trait of the participants beyond the diagnosis",
    "diagnosis": "is associated with the diagnosis, and beyond it with nothing that could be "
    "tested",
    "none": "is associated with nothing that could be tested",
}
_NOT_TESTED = "was not tested: too few participants, or nothing that differs between them"


def _heading(cluster: int, member: Bools, stability: Floats64 | None, noun: str) -> str:
    n = int(member.sum())
    sure = "" if stability is None else f", stability {stability[cluster]:.2f}"
    return f"Cluster {cluster + 1} ({n} {noun if n == 1 else f'{noun}s'}{sure})"


def _size(row: AuditRow) -> str:
    name = "Cramér's V" if row.covariate.is_text else "rank-biserial r"
    return f"{name} {row.effect:.2f}"


def _sentence(row: AuditRow, member: Bools, splits: Ints, noun: str) -> str:
    """What stands behind a finding: ``holds 14 of the 15 scans with site B (…)``."""
    covariate, q = row.covariate, row.q if row.q_within is None else row.q_within
    sure = f"q {q:.2g}"
    if covariate.is_text:
        value, n, total = _leading(covariate, member)
        return (
            f"it contains {n} of the {total} {noun}s with {covariate.words} {value} "
            f"({_size(row)}, {sure})"
        )
    mean, others = means_of(covariate, member, splits)
    if covariate.is_share:
        return f"{covariate.words} {_percent(mean)} (others {_percent(others)}, {sure})"
    return f"{covariate.words} {mean:.3g} on average (others {others:.3g}, {_size(row)}, {sure})"


def _percent(share: float) -> str:
    return f"{100 * share:.{0 if share >= 0.1 else 1}f} %"


def _leading(covariate: Covariate, member: Bools) -> tuple[str, int, int]:
    """The value most over-represented in a cluster, its scans there, and its scans in all."""
    values, codes = np.unique(covariate.values[covariate.present], return_inverse=True)
    inside = member[covariate.present]
    counts = np.bincount(codes[inside], minlength=values.size)
    total = np.bincount(codes, minlength=values.size)
    expected = total * inside.mean()
    best = int(np.argmax((counts - expected) / np.sqrt(expected)))
    return str(values[best]), int(counts[best]), int(total[best])


def _composition(classes: Sequence[str], member: Bools) -> str:
    names, counts = np.unique(np.asarray(classes)[member], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return ", ".join(f"{counts[i]} {names[i]}" for i in order)


def _examples(because: Sequence[AuditRow], member: Bools, people: Ints) -> tuple[int, ...]:
    """Members that show a finding most clearly, of different people.

    Of the leading value, or with extreme numbers.
    """
    inside = np.flatnonzero(member)
    if not because:
        return _different(inside, people)
    row = because[0]
    if row.covariate.is_text:
        value = _leading(row.covariate, member)[0]
        key = (row.covariate.values[inside] != value).astype(np.float64)
    else:
        sign = -1.0 if row.effect > 0 else 1.0
        values = sign * row.covariate.values[inside].astype(np.float64)
        key = np.where(np.isfinite(values), values, np.inf)
    return _different(inside[np.argsort(key, kind="stable")], people)


def _different(ordered: Ints, people: Ints) -> tuple[int, ...]:
    """The first few whose people differ."""
    _, first = np.unique(people[ordered], return_index=True)
    return tuple(int(i) for i in ordered[np.sort(first)[:_EXAMPLES]])
