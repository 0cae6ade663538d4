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

from bids_xai.arrays import Bools, Floats64, Ints
from bids_xai.core.spray.audit_decisions import ALPHA, ClusterTest, confounding_note, decided
from bids_xai.core.spray.audit_tests import PERMUTATIONS, rank_tests, text_test
from bids_xai.core.spray.audit_units import AuditedScans, AuditUnits, codes_of
from bids_xai.core.spray.audit_words import (
    EXPECTED,
    LEAST_SHARE,
    MODEL,
    PERSONAL,
    SUSPECT,
    AuditRow,
    Covariate,
    Verdict,
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

MOST_PERMUTATIONS = 500_000

_ORDER = ("suspicious", "model", "personal", "diagnosis", "none")
_FEWEST = 2  # units in a cluster, and outside of it


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


def audit(
    labels: Ints,
    covariates: Sequence[Covariate],
    *,
    classes: Sequence[str],
    participants: Sequence[str],
    splits: Sequence[str] | None = None,
    stability: Floats64 | None = None,
    survives: Bools | None = None,
    locations: Mapping[int, str] | None = None,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Audit:
    """Test every cluster against every covariate, and say what was found.

    labels : (n,) cluster of each scan, from 0; classes, participants : (n,) of each scan
    covariates : each with values (n,); those that do not vary or name single scans are left out
    splits : (n,) which model made each heatmap; what follows from the model is no finding about
        the scans. One model by default
    stability, survives : (k,) of :mod:`bids_xai.core.spray.stability`
    locations : cluster → where its relevance lies, in words
    permutations : at least; more where so many tests are made that a single small p value could
        not reach a false-discovery rate of :data:`ALPHA` (at most :data:`MOST_PERMUTATIONS`)
    """
    models = codes_of(splits if splits is not None else [""] * len(labels))
    scans = AuditedScans.of(labels, codes_of(classes), models, codes_of(participants), seed)
    n_clusters = int(labels.max()) + 1
    groups = _together(covariates, scans)
    n_tests = n_clusters * sum(map(len, groups))
    permutations = max(permutations, min(MOST_PERMUTATIONS, ceil(2 * n_tests / ALPHA)))
    tests: list[ClusterTest] = []
    notes: list[str] = []
    for group in groups:
        for cluster in range(n_clusters):
            tests += _tests(cluster, group, permutations, seed)
        notes += [note for each in group if (note := confounding_note(*each))]
    rows = decided(tests, labels, models)
    words = locations or {}
    verdicts = [
        verdict_on(cluster, rows, labels, models, scans.people, classes, stability, survives, words)
        for cluster in range(n_clusters)
    ]
    return Audit(tuple(rows), tuple(_most_suspicious_first(verdicts, rows)), tuple(notes))


def _most_suspicious_first(verdicts: Sequence[Verdict], rows: Sequence[AuditRow]) -> list[Verdict]:
    """Where effects within strata are equal, those over all decide."""
    whole = [0.0] * len(verdicts)
    for row in rows:
        if row.counts:
            whole[row.cluster] = max(whole[row.cluster], abs(row.test.effect_size))
    return sorted(
        verdicts,
        key=lambda v: (
            _ORDER.index(v.finding),
            -round(v.strength, 6),
            -whole[v.cluster],
            v.cluster,
        ),
    )


def _together(
    covariates: Sequence[Covariate], scans: AuditedScans
) -> list[list[tuple[Covariate, AuditUnits]]]:
    """Covariates that can be tested; numbers known for the same units and strata together."""
    groups: dict[bytes, list[tuple[Covariate, AuditUnits]]] = {}
    for number, covariate in enumerate(covariates):
        if not covariate.present.any():
            continue
        units = scans.units(covariate)
        different = len(np.unique(units.values))
        if different < 2 or (covariate.is_text and different > max(2, len(units.values) // 3)):
            continue
        key = (
            str(number).encode()
            if covariate.is_text
            else (covariate.present.tobytes() + units.strata.tobytes())
        )
        groups.setdefault(key, []).append((covariate, units))
    return list(groups.values())


def _tests(
    cluster: int, group: list[tuple[Covariate, AuditUnits]], permutations: int, seed: int
) -> list[ClusterTest]:
    group = [each for each in group if each[0].cluster in (None, cluster)]
    if not group:
        return []
    covariate, units = group[0]
    member = units.clusters == cluster
    if member.sum() < _FEWEST or (~member).sum() < _FEWEST:
        return []
    options = {"permutations": permutations, "seed": seed}
    if covariate.is_text:
        tests = [text_test(member, units.codes, units.strata, **options)]
    else:
        values = np.stack([each.values.astype(np.float64) for _, each in group], axis=1)
        tests = rank_tests(member, values, units.strata, **options)
    return [
        ClusterTest(cluster, tested, test, member.size)
        for (tested, _), test in zip(group, tests, strict=True)
    ]
