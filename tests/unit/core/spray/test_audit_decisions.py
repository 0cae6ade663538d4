"""Which tests count: rates as those of scipy within each family, limits of effects and shares."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from bids_xai.core.spray.audit_decisions import (
    ALPHA,
    LEAST_RANK,
    LEAST_V,
    ClusterTest,
    confounding_note,
    decided,
    false_discovery_rates,
)
from bids_xai.core.spray.audit_tests import GroupTest
from bids_xai.core.spray.audit_units import AuditUnits
from bids_xai.core.spray.audit_words import EXPECTED, SUSPECT, Covariate

LABELS = np.repeat([0, 1], 10)
SPLITS = np.zeros(20, np.int64)
NUMBERS = Covariate("snr", np.arange(20.0), SUSPECT, "SNR")
TEXTS = Covariate("site", np.repeat(["A", "B"], 10), SUSPECT, "site")
DIAGNOSIS = Covariate("class", np.repeat(["AD", "NC"], 10), EXPECTED, "class")


def drawn(
    covariate: Covariate, p: float, effect: float, p_within: float | None = None
) -> ClusterTest:
    within = None if p_within is None else effect
    return ClusterTest(1, covariate, GroupTest("drawn", 0.0, effect, p, p_within, within), 20)


def test_rates_are_those_of_scipy_with_the_diagnosis_apart() -> None:
    p = [0.001, 0.02, 0.3, 0.04]
    tests = [drawn(NUMBERS, value, 0.9, value / 2) for value in p]
    tests.insert(1, drawn(DIAGNOSIS, 0.04, 0.9))
    tests.append(drawn(TEXTS, 0.5, 0.9))  # nothing free within strata
    rates = false_discovery_rates(tests)
    q = stats.false_discovery_control([*p, 0.5])
    assert [rates[i].q for i in (0, 2, 3, 4, 5)] == pytest.approx(q)
    assert rates[1].q == 0.04
    within = stats.false_discovery_control(np.array(p) / 2)
    assert [rates[i].q_within for i in (0, 2, 3, 4)] == pytest.approx(within)
    assert rates[1].q_within is rates[5].q_within is None


@pytest.mark.parametrize(("covariate", "least"), [(NUMBERS, LEAST_RANK), (TEXTS, LEAST_V)])
def test_an_effect_counts_from_its_limit_on_and_when_it_is_sure(
    covariate: Covariate, least: float
) -> None:
    def counts(effect: float, p: float) -> bool:
        (row,) = decided([drawn(covariate, p, effect, p)], LABELS, SPLITS)
        return row.counts

    assert counts(least, ALPHA)
    assert not counts(least - 0.01, ALPHA)
    assert not counts(least, ALPHA * 1.01)


def test_what_has_nothing_free_within_classes_is_inseparable() -> None:
    (row,) = decided([drawn(NUMBERS, 0.001, 0.9)], LABELS, SPLITS)
    assert (row.counts, row.inseparable) == (False, True)
    (row,) = decided([drawn(NUMBERS, 0.001, 0.9, 0.001)], LABELS, SPLITS)
    assert (row.counts, row.inseparable) == (True, False)
    (row,) = decided([drawn(DIAGNOSIS, 0.001, 0.9)], LABELS, SPLITS)
    assert (row.counts, row.inseparable) == (True, False)


def test_a_share_must_be_large_and_larger_than_elsewhere() -> None:
    def counts(share: float, others: float, effect: float = 0.9) -> bool:
        values = np.where(LABELS == 1, share, others)
        covariate = Covariate("outside", values, SUSPECT, "x", is_share=True, least=(0.2, 2.0))
        (row,) = decided([drawn(covariate, 0.001, effect, 0.001)], LABELS, SPLITS)
        return row.counts

    assert counts(0.2, 0.1)
    assert not counts(0.19, 0.01)
    assert not counts(0.4, 0.21)
    assert not counts(0.4, 0.1, effect=-0.9)


def test_a_note_where_a_technical_covariate_is_the_class() -> None:
    sites = np.repeat(["A", "B"], 20)
    units = AuditUnits(np.zeros(40, np.int64), np.repeat([0, 1], 20), np.zeros(40, np.int64), sites)
    site = Covariate("site", sites, SUSPECT, "site")
    note = confounding_note(site, units)
    assert note is not None
    assert "site is associated with the class (effect size 1.00)" in note
    mixed = dataclasses.replace(units, values=np.tile(["A", "B"], 20))
    assert confounding_note(site, mixed) is None
    assert confounding_note(DIAGNOSIS, units) is None
    alone = dataclasses.replace(units, classes=np.zeros(40, np.int64))
    assert confounding_note(site, alone) is None
