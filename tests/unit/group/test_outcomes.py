"""Whom a classifier tests, and how right it is."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bids_xai.group import outcomes
from bids_xai.group.scans import Scan
from bids_xai.studies.tables import Target

BINARY = Target("diagnosis", negative="NC", positive="AD")


THREE = Target("diagnosis", classes=("AD", "MCI", "NC"), positive="AD")


@pytest.mark.parametrize(
    ("target", "truth", "said", "expected"),
    [
        (BINARY, "AD", "AD", "TP"),
        (BINARY, "NC", "AD", "FP"),
        (BINARY, "NC", "NC", "TN"),
        (BINARY, "AD", "NC", "FN"),
        (THREE, "NC", "MCI", "FN"),
        (THREE, "NC", "NC", "TN"),
        (THREE, "AD", "NC", "FN"),
        (THREE, "MCI", "AD", "FP"),
    ],
)
def test_outcomes_are_of_the_positive_class(
    target: Target, truth: str, said: str, expected: str
) -> None:
    assert outcomes.outcome(target, truth, said) == expected


def test_a_tie_of_two_is_positive() -> None:
    assert outcomes.predicted_class(BINARY, np.array([0.5, 0.5])) == "AD"
    turned = Target("diagnosis", classes=("AD", "NC"), positive="AD")
    assert outcomes.predicted_class(turned, np.array([0.5, 0.5])) == "AD"
    assert outcomes.predicted_class(turned, np.array([0.4, 0.6])) == "NC"
    assert outcomes.predicted_class(THREE, np.array([0.3, 0.3, 0.4])) == "NC"


def test_the_first_session_alone_is_tested_where_asked() -> None:
    scans = [
        Scan(f"sub-{i:02d}_ses-1", f"{i:02d}", "1", "AD", Path("map"), Path("mask"), None)
        for i in range(16)
    ]
    later = [dataclasses.replace(s, session="2", name=f"{s.name}b") for s in scans[:2]]
    every: list[Scan] = [*later, *scans]
    members = {scan.participant: "test" if i < 4 else "train" for i, scan in enumerate(scans)}
    assert len(outcomes.test_scans(every, members, False)) == 6
    assert outcomes.test_scans(every, members, True) == scans[:4]
