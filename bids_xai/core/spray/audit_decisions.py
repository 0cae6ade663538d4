"""Which tests of an audit count: false-discovery rates, least effects, what is inseparable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bids_xai.arrays import Ints
from bids_xai.core.spray.audit_tests import GroupTest, benjamini_hochberg, rank_tests, text_test
from bids_xai.core.spray.audit_units import AuditUnits
from bids_xai.core.spray.audit_words import (
    EXPECTED,
    PERSONAL,
    SUSPECT,
    AuditRow,
    Covariate,
    means_of,
)

ALPHA = 0.01
"""False-discovery rate up to which a covariate counts."""
LEAST_V, LEAST_RANK = 0.3, 0.5
"""Least Cramér's V and rank-biserial correlation that count."""

_CONFOUNDED = 0.8  # effect size of the class on a covariate from which the two are one


@dataclass(frozen=True)
class ClusterTest:
    """A test of a cluster (from 0) against a covariate; n : units tested."""

    cluster: int
    covariate: Covariate
    test: GroupTest
    n: int


@dataclass(frozen=True)
class Rates:
    """False-discovery rates of a test, of the cluster as such and within strata."""

    q: float
    q_within: float | None


def decided(tests: Sequence[ClusterTest], labels: Ints, splits: Ints) -> list[AuditRow]:
    """Return every test with its false-discovery rates, and whether it counts.

    labels, splits : (n,) cluster and split of each scan, from 0
    """
    return [
        AuditRow(
            each.cluster,
            each.covariate,
            each.test,
            each.n,
            rates.q,
            rates.q_within,
            counts=_counts(each, rates, labels, splits),
            inseparable=_inseparable(each, rates),
        )
        for each, rates in zip(tests, false_discovery_rates(tests), strict=True)
    ]


def false_discovery_rates(tests: Sequence[ClusterTest]) -> list[Rates]:
    """Rates among all tests of an analysis, those of the diagnosis apart."""
    rates = [Rates(1.0, None)] * len(tests)
    for expected in (True, False):
        family = [
            i for i, each in enumerate(tests) if (each.covariate.kind == EXPECTED) == expected
        ]
        p_within = {i: p for i in family if (p := tests[i].test.p_within) is not None}
        q = benjamini_hochberg([tests[i].test.p for i in family])
        q_within = dict(zip(p_within, benjamini_hochberg([*p_within.values()]), strict=True))
        for i, rate in zip(family, q, strict=True):
            rates[i] = Rates(float(rate), float(q_within[i]) if i in q_within else None)
    return rates


def _counts(each: ClusterTest, rates: Rates, labels: Ints, splits: Ints) -> bool:
    """Whether a cluster goes with a covariate: surely, strongly, and beyond what explains it."""
    covariate, test = each.covariate, each.test
    if covariate.is_share:
        mean, others = means_of(covariate, labels == each.cluster, splits)
        share, ratio = covariate.least
        if mean < share or not mean >= ratio * others:
            return False
        if (test.effect_within or 0.0) < 0:
            return False  # less relevance there than elsewhere is no reproach
    if covariate.kind == EXPECTED:
        return _is_strong(covariate, test.effect_size) and rates.q <= ALPHA
    if rates.q_within is None or test.effect_within is None:
        return False
    return _is_strong(covariate, test.effect_within) and rates.q_within <= ALPHA


def _is_strong(covariate: Covariate, effect: float) -> bool:
    return abs(effect) >= (LEAST_V if covariate.is_text else LEAST_RANK)


def _inseparable(each: ClusterTest, rates: Rates) -> bool:
    """Whether a cluster surely and strongly goes with what cannot be told from the class."""
    covariate = each.covariate
    of_interest = covariate.kind in (SUSPECT, PERSONAL) and not covariate.is_share
    unknown = each.test.p_within is None
    strong = _is_strong(covariate, each.test.effect_size)
    return of_interest and unknown and rates.q <= ALPHA and strong


def confounding_note(covariate: Covariate, units: AuditUnits) -> str | None:
    """Return a remark where a technical covariate and the class are nearly one in the cohort.

    That is, where the effect is large and no chance finding (p up to :data:`ALPHA`).
    """
    if covariate.kind != SUSPECT or covariate.is_share or np.ptp(units.classes) == 0:
        return None
    effects = [0.0]
    for name in np.unique(units.classes):
        inside = units.classes == name
        if covariate.is_text:
            test = text_test(inside, units.codes, inside * 0, permutations=999)
        else:
            values = units.values.astype(np.float64)[:, None]
            (test,) = rank_tests(inside, values, inside * 0, permutations=999)
        if test.p <= ALPHA:
            effects.append(abs(test.effect_size))
    if max(effects) < _CONFOUNDED:
        return None
    return (
        f"In the cohort itself, {covariate.words} is associated with the class "
        f"(effect size {max(effects):.2f}): whatever follows one follows the other, and the audit "
        "cannot tell which of them the classifier uses."
    )
