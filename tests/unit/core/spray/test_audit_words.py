"""What an audit says in words: means, the leading value, composition, examples."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.core.spray.audit_tests import GroupTest
from bids_xai.core.spray.audit_words import (
    EXPECTED,
    SUSPECT,
    AuditRow,
    Covariate,
    means_of,
    verdict_on,
)

LABELS = np.repeat([0, 1], 5)
CLASSES = ["AD", "AD", "NC", "AD", "NC", "NC", "NC", "NC", "NC", "AD"]
ONE_MODEL = np.zeros(10, np.int64)


def row(covariate: Covariate, effect: float = 0.8) -> AuditRow:
    test = GroupTest("drawn", 1.0, effect, 0.001, 0.001, effect)
    return AuditRow(1, covariate, test, 10, 0.002, 0.003, counts=True, inseparable=False)


def verdict_text(
    rows: list[AuditRow],
    stability: np.ndarray | None = None,
    survives: np.ndarray | None = None,
    locations: dict[int, str] | None = None,
) -> str:
    people = np.arange(10)
    return verdict_on(
        1, rows, LABELS, ONE_MODEL, people, CLASSES, stability, survives, locations or {}
    ).text


def test_what_is_missing_is_not_present() -> None:
    numbers = Covariate("x", np.array([1.0, np.nan]), SUSPECT, "x")
    texts = Covariate("x", np.array(["a", ""]), SUSPECT, "x")
    assert numbers.present.tolist() == texts.present.tolist() == [True, False]
    assert (numbers.is_text, texts.is_text) == (False, True)


def test_means_compare_within_splits() -> None:
    values = np.array([1.0, 2.0, 4.0, 10.0, np.nan, 30.0])
    member = np.array([True, False, True, False, True, True])
    splits = np.array([0, 0, 0, 1, 1, 1])
    mean, others = means_of(Covariate("x", values, SUSPECT, "x"), member, splits)
    assert mean == pytest.approx((1 + 4 + 30) / 3)
    assert others == pytest.approx((2 * 2.0 + 1 * 10.0) / 3)  # two members of split 0, one of 1


def test_text_names_the_value_that_is_over_represented() -> None:
    site = Covariate("site", np.array(list("AAAABBBBBA")), SUSPECT, "site")
    assert verdict_text([row(site)]) == (
        "Cluster 2 (5 scans) is suspicious: it contains 4 of the 5 scans with site B "
        "(Cramér's V 0.80, q 0.003). Classes: 4 NC, 1 AD."
    )


def test_numbers_and_shares_give_means() -> None:
    values = np.where(LABELS == 1, 0.5, 0.04)
    snr = Covariate("snr", values, SUSPECT, "SNR")
    assert "SNR 0.5 on average (others 0.04, rank-biserial r 0.80, q 0.003)" in verdict_text(
        [row(snr)]
    )
    share = Covariate("outside", values, SUSPECT, "relevance outside", is_share=True)
    assert "relevance outside 50 % (others 4.0 %, q 0.003)" in verdict_text([row(share)])


def test_location_stability_and_what_does_not_survive() -> None:
    text = verdict_text(
        [],
        stability=np.array([0.9, 0.4]),
        survives=np.array([True, False]),
        locations={1: "It lies at the front."},
    )
    assert text.startswith("Cluster 2 (5 scans, stability 0.40) was not tested")
    assert text.endswith(
        "It lies at the front. It does not survive resampling: interpret it with caution."
    )


def test_the_worst_kind_of_finding_leads_and_examples_show_it() -> None:
    snr = Covariate("snr", np.arange(10.0), SUSPECT, "SNR")
    diagnosis = Covariate("class", np.array(CLASSES), EXPECTED, "class")
    rows = [row(diagnosis), row(snr, effect=0.6)]
    verdict = verdict_on(1, rows, LABELS, ONE_MODEL, np.arange(10), CLASSES, None, None, {})
    assert verdict.finding == "suspicious"
    assert verdict.strength == 0.6
    assert verdict.examples == (9, 8, 7)
    lower = verdict_on(
        1, [row(snr, effect=-0.6)], LABELS, ONE_MODEL, np.arange(10), CLASSES, None, None, {}
    )
    assert lower.examples == (5, 6, 7)
