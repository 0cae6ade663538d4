"""Relevance of regions and their volumes, over the participants whose volume is known."""

from __future__ import annotations

import numpy as np
import pytest
from atlas_cases import prediction, view
from scipy.stats import pearsonr

from bids_xai.core.comparisons import holm
from bids_xai.group.atlas.biology import Biology, biology_rows
from bids_xai.group.atlas.groups import Groups
from bids_xai.group.atlas.lesions import LesionValues
from bids_xai.group.atlas.parts import Part
from bids_xai.group.atlas.volumes import RegionVolumes
from bids_xai.studies.tables import Target
from bids_xai.tables.atlas import BiologyRow

N = 20


def rows_of(
    sums: np.ndarray, volumes: np.ndarray | None, lesions: LesionValues | None = None
) -> list[BiologyRow]:
    """The lines over all participants, each of whom has one map."""
    predictions = [prediction(participant_id=f"sub-{i}") for i in range(len(sums))]
    groups = Groups.of(predictions, Target("diagnosis", "NC", "AD"))
    known = {} if volumes is None else {"X": RegionVolumes(volumes, "table")}
    biology = Biology(known, lesions or LesionValues.unknown(len(sums)))
    part = Part("A", "m", 0, len(sums))
    rows = biology_rows([view(sums.tolist())], part, predictions, groups, biology, seed=0)
    return [row for row in rows if row.group == "all"]


def test_a_missing_volume_costs_its_own_region_one_participant() -> None:
    rng = np.random.default_rng(0)
    sums, volumes = rng.random((2, 20, 3))
    volumes[4, 1] = np.nan  # of one participant and one region
    volumes[2:, 2] = np.nan  # of nearly all: too few are left
    rows = rows_of(sums, volumes)
    assert [(row.index, row.n) for row in rows] == [(300, 20), (301, 19)]
    known = np.arange(20) != 4
    assert rows[0].r == pytest.approx(pearsonr(sums[:, 0], volumes[:, 0])[0])
    assert rows[1].r == pytest.approx(pearsonr(sums[known, 1], volumes[known, 1])[0])
    assert rows[1].mean == pytest.approx(volumes[known, 1].mean())
    expected = holm(np.array([row.p_value for row in rows]))
    np.testing.assert_allclose([row.p_holm for row in rows], expected)
    assert {(row.measure, row.source, row.seed) for row in rows} == {("volume", "table", 0)}


def test_nothing_known_gives_no_lines() -> None:
    assert rows_of(np.ones((N, 1)), np.full((N, 1), np.nan)) == []
    assert rows_of(np.ones((N, 1)), None) == []


def test_lesions_are_correlated_with_regions_and_with_the_whole_map() -> None:
    rng = np.random.default_rng(1)
    sums, load = rng.random((N, 2)), rng.random(N)
    load[:2] = np.nan
    share = rng.random(N)
    rows = rows_of(sums, None, LesionValues(load, share))
    whole = sums.sum(axis=1)
    expected = [pearsonr(values[2:], load[2:])[0] for values in (*sums.T, whole)]
    assert [row.r for row in rows[:3]] == pytest.approx(expected)
    assert [(row.atlas, row.name) for row in rows[2:]] == [(None, "whole map")] * 2
    assert rows[2].p_holm == rows[2].p_value
    shares = rows[3]
    assert (shares.measure, shares.n, shares.r, shares.seed) == ("lesion_share", N, None, None)
    assert shares.mean == pytest.approx(share.mean())


def test_three_participants_are_too_few() -> None:
    rng = np.random.default_rng(2)
    assert rows_of(rng.random((3, 1)), rng.random((3, 1))) == []
    assert len(rows_of(rng.random((4, 1)), rng.random((4, 1)))) == 1
