"""Units of an audit: participants, by the majority of their scans, of one split each."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.core.spray.audit_units import AuditedScans, codes_of
from bids_xai.core.spray.audit_words import EXPECTED, MODEL, PERSONAL, SUSPECT, Covariate

PEOPLE = ["a", "a", "a", "b", "b", "c"]
LABELS = np.array([1, 1, 0, 0, 0, 1])
CLASSES = codes_of(["AD", "AD", "AD", "NC", "NC", "AD"])


def scans(splits: list[int] | None = None, seed: int = 0) -> AuditedScans:
    of_scans = np.array(splits or [0] * 6)
    return AuditedScans.of(LABELS, CLASSES, of_scans, codes_of(PEOPLE), seed)


def test_names_become_numbers_in_their_order() -> None:
    assert codes_of(["b", "a", "b"]).tolist() == [1, 0, 1]


def test_numbers_are_means_of_participants_and_clusters_those_of_most_scans() -> None:
    values = np.array([1.0, 2.0, 6.0, 4.0, np.nan, 5.0])
    units = scans().units(Covariate("age", values, PERSONAL, "age"))
    assert units.values.tolist() == [3.0, 4.0, 5.0]
    assert units.clusters.tolist() == [1, 0, 1]
    assert units.classes.tolist() == [0, 1, 0]


def test_a_participant_is_one_unit_for_each_text() -> None:
    texts = np.array(["X", "Y", "Y", "X", "", "X"])
    units = scans().units(Covariate("scanner", texts, SUSPECT, "scanner"))
    assert units.values.tolist() == ["X", "Y", "X", "X"]  # a with X, a with Y, b, c
    assert units.clusters.tolist() == [1, 0, 0, 1]  # a with Y: a tie, the lower number
    assert units.codes.tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize("seed", range(6))
def test_of_a_participant_in_two_splits_the_scans_of_one_count(seed: int) -> None:
    values = np.array([1.0, 2.0, 6.0, 4.0, 9.0, 5.0])
    units = scans([0, 0, 1, 0, 1, 0], seed).units(Covariate("age", values, PERSONAL, "age"))
    assert units.values[0] in (1.5, 6.0)
    assert units.values[1] in (4.0, 9.0)
    assert units.values[2] == 5.0


@pytest.mark.parametrize(
    ("kind", "misplaced", "strata"),
    [
        (EXPECTED, False, [0, 1, 0]),  # splits
        (MODEL, False, [0, 1, 0]),  # classes: a and c are AD, b is NC
        (SUSPECT, False, [0, 3, 0]),  # both: class + 2 · split
        (PERSONAL, False, [0, 3, 0]),
        (SUSPECT, True, [0, 1, 0]),
    ],
)
def test_what_a_covariate_is_tested_within(kind: str, misplaced: bool, strata: list[int]) -> None:
    splits = [0, 0, 0, 1, 1, 0]
    covariate = Covariate("x", np.arange(6.0), kind, "x", misplaced=misplaced)
    assert scans(splits).units(covariate).strata.tolist() == strata
