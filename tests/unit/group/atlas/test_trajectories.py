"""Trajectories of participants with several sessions, against loops over the lines."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from atlas_cases import prediction

from bids_xai.bids.session_times import AGE, SessionTimes
from bids_xai.core.regions.names import single_regions
from bids_xai.group.atlas.parts import Part
from bids_xai.group.atlas.region_values import View
from bids_xai.group.atlas.trajectories import times_by_label, trajectories
from bids_xai.tables.predictions import Prediction

LABELS = ((1, "Left A"), (2, "Right A"), (3, "Stem"))
# participant, session, split; sub-02 has one session, sub-03 two scans in its first
SCANS = (
    ("sub-01", "ses-2", 0),
    ("sub-01", "ses-10", 0),
    ("sub-01", "ses-1", 0),
    ("sub-02", "ses-1", 0),
    ("sub-03", "ses-1", 0),
    ("sub-03", "ses-1", 0),
    ("sub-03", "ses-2", 0),
    ("sub-04", None, 0),
    ("sub-04", None, 0),
    ("sub-01", "ses-1", 1),
    ("sub-01", "ses-2", 1),
)


@pytest.fixture
def rows() -> list[Prediction]:
    return [prediction(participant_id=p, session_id=s, split=k) for p, s, k in SCANS]


@pytest.fixture
def view() -> View:
    sums = np.random.default_rng(1).normal(size=(len(SCANS), len(LABELS)))
    voxels = np.array([10.0, 20.0, 0.0])
    return View("X", False, single_regions(LABELS), voxels, sums, abs(sums), np.ones(len(SCANS)))


def test_the_last_session_less_the_first_of_one_network(view: View, rows: list[Prediction]) -> None:
    found = list(trajectories(view, Part("A", "m", 0, len(rows)), rows, times_by_label))
    assert {(r.split, r.participant_id) for r in found} == {
        (0, "sub-01"),
        (0, "sub-03"),
        (1, "sub-01"),
    }
    assert len(found) == 3 * len(LABELS)
    ends = {(0, "sub-01"): ([2], [1]), (0, "sub-03"): ([4, 5], [6]), (1, "sub-01"): ([9], [10])}
    for row in found:
        first, last = ends[row.split, row.participant_id]
        place = [index for index, _ in LABELS].index(row.index)
        if not view.n_voxels[place]:
            assert math.isnan(row.density_first)
            assert math.isnan(row.change)
            continue
        start = np.mean([view.sums[i, place] / view.n_voxels[place] for i in first])
        end = np.mean([view.sums[i, place] / view.n_voxels[place] for i in last])
        assert row.density_first == pytest.approx(start)
        assert row.density_last == pytest.approx(end)
        assert row.change == pytest.approx(end - start)
        assert math.isnan(row.years)
    long = found[0]
    assert (long.first_session, long.last_session, long.n_sessions) == ("ses-1", "ses-10", 3)
    assert [r.hemisphere for r in found[:2]] == ["L", "R"]


def test_ages_turn_the_order_and_give_years(view: View, rows: list[Prediction]) -> None:
    def times_of(_: str, sessions: Sequence[str]) -> SessionTimes:
        years = {name: 80.0 - float(name.removeprefix("ses-")) for name in sessions}
        return SessionTimes(AGE, tuple(sorted(sessions, key=years.__getitem__)), years)

    found = list(trajectories(view, Part("A", "m", 0, len(rows)), rows, times_of))
    first = found[0]
    assert (first.first_session, first.last_session, first.years) == ("ses-10", "ses-1", 9.0)
    assert first.change == pytest.approx((view.sums[2, 0] - view.sums[1, 0]) / 10)
