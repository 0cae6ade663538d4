"""Clever Hans audit: which clusters of heatmaps go with something other than the disease?

Every cluster is tested against every covariate. A cluster that goes with the diagnosis is what one
hopes for. It is suspicious where it goes with a technical covariate (site, scanner, size of the
mask) *beyond* what the diagnosis explains, or where its relevance lies outside the brain.

The unit of a test is the participant (repeated scans are not independent): its cluster is that of
most of its scans, its numbers are means. A participant whose text differs between scans (two
scanners) is one unit for each value, with the cluster of most of the scans that have it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

from bids_xai.arrays import Bools, Floats64, Ints
from bids_xai.core.spray.audit_tests import (
    PERMUTATIONS,
    GroupTest,
    benjamini_hochberg,
    rank_tests,
    text_test,
)
from bids_xai.core.spray.audit_words import (
    EXPECTED,
    LEAST_SHARE,
    MODEL,
    PERSONAL,
    SUSPECT,
    AuditRow,
    Covariate,
    Verdict,
    means_of,
    verdict_on,
)

__all__ = [
    "EXPECTED",
    "LEAST_SHARE",
    "MODEL",
    "PERSONAL",
    "SUSPECT",
    "Audit",
    "AuditRow",
    "Covariate",
    "Verdict",
    "audit",
]

ALPHA = 0.01
"""False-discovery rate up to which a covariate counts."""
LEAST_V, LEAST_RANK = 0.3, 0.5
"""Least Cramér's V and rank-biserial correlation that count."""

MOST_PERMUTATIONS = 500_000

_FEWEST = 2  # units in a cluster, and outside of it
_CONFOUNDED = 0.8  # effect size of the class on a covariate from which the two are one


@dataclass(frozen=True)
class Audit:
    """All tests, a verdict a cluster (the most suspicious first), and what holds for the cohort."""

    rows: tuple[AuditRow, ...]
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]

    @property
    def suspicious(self) -> tuple[Verdict, ...]:
        """The verdicts on suspicious clusters."""
        return tuple(v for v in self.verdicts if v.finding == "suspicious")


@dataclass(frozen=True)
class _Units:
    """Units of a test: cluster, class, stratum and value of each."""

    clusters: Ints
    classes: Ints
    strata: Ints
    values: npt.NDArray[np.str_] | Floats64


@dataclass(frozen=True)
class _Scans:
    """What is known of each scan (n,), as numbers from 0."""

    labels: Ints
    classes: Ints
    splits: Ints
    people: Ints
    turns: Floats64
    """Of a participant's splits the one with the least number comes first (drawn by lot)."""

    @classmethod
    def of(cls, labels: Ints, classes: Ints, splits: Ints, people: Ints, seed: int) -> _Scans:
        """Draw by participant and split, whatever the order of the scans."""
        shape = int(people.max()) + 1, int(splits.max()) + 1
        turns = np.random.default_rng(seed).random(shape)[people, splits]
        return cls(labels, classes, splits, people, turns)

    def units(self, covariate: Covariate) -> _Units:
        """The participants that have a value, each once for every text that its scans have.

        Of a participant that several models were tested on, one split counts, drawn by lot: its
        scans there share a stratum, and every model has its participants.
        """
        known = np.flatnonzero(covariate.known)
        known = known[np.argsort(self.turns[known], kind="stable")]
        _, first, whose = np.unique(self.people[known], return_index=True, return_inverse=True)
        known = np.sort(known[self.splits[known] == self.splits[known[first]][whose]])
        own = covariate.values[known]
        codes = _codes(list(own)) if covariate.is_text else np.zeros(own.size, dtype=np.int64)
        units = self.people[known] * (codes.max() + 1) + codes
        _, first, whose = np.unique(units, return_index=True, return_inverse=True)
        votes = np.zeros((first.size, int(self.labels.max()) + 1))
        np.add.at(votes, (whose, self.labels[known]), 1)
        values = own[first]
        if not covariate.is_text:
            values = np.bincount(whose, weights=own.astype(np.float64)) / np.bincount(whose)
        return self._of(known[first], votes.argmax(axis=1), covariate, values)

    def _of(
        self,
        scans: Ints,
        clusters: Ints,
        covariate: Covariate,
        values: npt.NDArray[np.str_] | Floats64,
    ) -> _Units:
        classes, splits = self.classes[scans], self.splits[scans]
        strata = {
            EXPECTED: splits,
            MODEL: classes,
            SUSPECT: classes + splits * (1 + self.classes.max()),
        }
        kind = covariate.kind if covariate.kind in strata else SUSPECT
        own = splits if covariate.misplaced else strata[kind]
        return _Units(clusters.astype(np.int64), classes, own.astype(np.int64), values)


def audit(
    labels: Ints,
    covariates: Sequence[Covariate],
    *,
    classes: Sequence[str],
    participants: Sequence[str],
    splits: Sequence[str] | None = None,
    stability: Floats64 | None = None,
    survives: Bools | None = None,
    places: Mapping[int, str] | None = None,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Audit:
    """Test every cluster against every covariate, and say what was found.

    labels : (n,) cluster of each scan, from 0; classes, participants : (n,) of each scan
    covariates : each with values (n,); those that do not vary or name single scans are left out
    splits : (n,) which model made each heatmap; what follows from the model is no finding about
        the scans. One model by default
    stability, survives : (k,) of :mod:`bids_xai.core.spray.stability`
    places : cluster → where its relevance lies, in words
    permutations : at least; more where so many tests are made that a single small p value could
        not reach a false-discovery rate of :data:`ALPHA` (at most :data:`MOST_PERMUTATIONS`)
    """
    models = _codes(splits if splits is not None else [""] * len(labels))
    scans = _Scans.of(labels, _codes(classes), models, _codes(participants), seed)
    found: list[tuple[int, Covariate, GroupTest, int]] = []
    n_clusters = int(labels.max()) + 1
    notes: list[str] = []
    groups = _together(covariates, scans)
    tests = n_clusters * sum(map(len, groups))
    permutations = max(permutations, min(MOST_PERMUTATIONS, ceil(2 * tests / ALPHA)))
    for group in groups:
        for cluster in range(n_clusters):
            found += _tests(cluster, group, permutations, seed)
        notes += [note for covariate, units in group if (note := _confounded(covariate, units))]
    rows = _with_rates(found, scans)
    verdicts = [
        verdict_on(
            cluster, rows, labels, models, scans.people, classes, stability, survives, places or {}
        )
        for cluster in range(n_clusters)
    ]
    order = {"suspicious": 0, "model": 1, "personal": 2, "diagnosis": 3, "none": 4}
    whole = [0.0] * n_clusters  # where effects within strata are equal, those over all decide
    for row in rows:
        if row.counts:
            whole[row.cluster] = max(whole[row.cluster], abs(row.test.effect_size))
    verdicts.sort(
        key=lambda v: (order[v.finding], -round(v.strength, 6), -whole[v.cluster], v.cluster)
    )
    return Audit(tuple(rows), tuple(verdicts), tuple(notes))


def _codes(names: Sequence[str]) -> Ints:
    return np.unique(np.asarray(names), return_inverse=True)[1].astype(np.int64)


def _together(
    covariates: Sequence[Covariate], scans: _Scans
) -> list[list[tuple[Covariate, _Units]]]:
    """Covariates that can be tested; numbers known for the same units and strata together."""
    groups: dict[bytes, list[tuple[Covariate, _Units]]] = {}
    for number, covariate in enumerate(covariates):
        if not covariate.known.any():
            continue
        units = scans.units(covariate)
        different = len(np.unique(units.values))
        if different < 2 or (covariate.is_text and different > max(2, len(units.values) // 3)):
            continue
        key = (
            str(number).encode()
            if covariate.is_text
            else (covariate.known.tobytes() + units.strata.tobytes())
        )
        groups.setdefault(key, []).append((covariate, units))
    return list(groups.values())


def _tests(
    cluster: int, group: list[tuple[Covariate, _Units]], permutations: int, seed: int
) -> list[tuple[int, Covariate, GroupTest, int]]:
    group = [each for each in group if each[0].cluster in (None, cluster)]
    if not group:
        return []
    covariate, units = group[0]
    member = units.clusters == cluster
    if member.sum() < _FEWEST or (~member).sum() < _FEWEST:
        return []
    options = {"permutations": permutations, "seed": seed}
    if covariate.is_text:
        tests = [text_test(member, _codes(list(units.values)), units.strata, **options)]
    else:
        values = np.stack([each.values.astype(np.float64) for _, each in group], axis=1)
        tests = rank_tests(member, values, units.strata, **options)
    return [(cluster, one, test, member.size) for (one, _), test in zip(group, tests, strict=True)]


def _confounded(covariate: Covariate, units: _Units) -> str | None:
    """A remark where a technical covariate and the class are nearly one in the cohort itself.

    That is, where the effect is large and no chance finding (p up to :data:`ALPHA`).
    """
    if covariate.kind != SUSPECT or covariate.is_share or np.ptp(units.classes) == 0:
        return None
    effects = [0.0]
    for name in np.unique(units.classes):
        inside = units.classes == name
        if covariate.is_text:
            test = text_test(inside, _codes(list(units.values)), inside * 0, permutations=999)
        else:
            values = units.values.astype(np.float64)[:, None]
            (test,) = rank_tests(inside, values, inside * 0, permutations=999)
        if test.p <= ALPHA:
            effects.append(abs(test.effect_size))
    if max(effects) < _CONFOUNDED:
        return None
    return (
        f"In the cohort itself {covariate.words} goes with the class (effect size "
        f"{max(effects):.2f}): what follows the one follows the other, and the audit cannot tell "
        "which of them the classifier uses."
    )


def _with_rates(
    found: list[tuple[int, Covariate, GroupTest, int]], scans: _Scans
) -> list[AuditRow]:
    """False-discovery rates among all tests of an analysis, those of the diagnosis apart."""
    rates: dict[int, tuple[float, float | None]] = {}
    for expected in (True, False):
        family = [i for i, one in enumerate(found) if (one[1].kind == EXPECTED) == expected]
        free = [i for i in family if found[i][2].p_within is not None]
        q = dict(zip(family, benjamini_hochberg([found[i][2].p for i in family]), strict=True))
        within = dict(
            zip(free, benjamini_hochberg([found[i][2].p_within or 0.0 for i in free]), strict=True)
        )
        for i in family:
            rates[i] = float(q[i]), float(within[i]) if i in within else None
    return [
        AuditRow(
            cluster,
            covariate,
            test,
            n,
            *rates[i],
            counts=_counts(cluster, covariate, test, rates[i], scans),
            inseparable=_inseparable(covariate, test, rates[i][0]),
        )
        for i, (cluster, covariate, test, n) in enumerate(found)
    ]


def _counts(
    cluster: int,
    covariate: Covariate,
    test: GroupTest,
    rates: tuple[float, float | None],
    scans: _Scans,
) -> bool:
    """Whether a cluster goes with a covariate: surely, strongly, and beyond what explains it."""
    q, q_within = rates
    if covariate.is_share:
        own, others = means_of(covariate, scans.labels == cluster, scans.splits)
        share, ratio = covariate.least
        if own < share or not own >= ratio * others:
            return False
        if (test.effect_within or 0.0) < 0:
            return False  # less relevance there than elsewhere is no reproach
    if covariate.kind == EXPECTED:
        return _is_strong(covariate, test.effect_size) and q <= ALPHA
    if q_within is None or test.effect_within is None:
        return False
    return _is_strong(covariate, test.effect_within) and q_within <= ALPHA


def _is_strong(covariate: Covariate, effect: float) -> bool:
    return abs(effect) >= (LEAST_V if covariate.is_text else LEAST_RANK)


def _inseparable(covariate: Covariate, test: GroupTest, q: float) -> bool:
    """Whether a cluster surely and strongly goes with what cannot be told from the class."""
    of_interest = covariate.kind in (SUSPECT, PERSONAL) and not covariate.is_share
    unknown = test.p_within is None
    return of_interest and unknown and q <= ALPHA and _is_strong(covariate, test.effect_size)
