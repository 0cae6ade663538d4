"""Relevance of regions and their volumes, over the participants whose volume is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr

from bids_xai.core.comparisons import holm
from bids_xai.core.regions.names import single_regions
from bids_xai.group.atlas.biology import _correlated, _region_rows
from bids_xai.group.atlas.region_values import View


def test_a_missing_volume_costs_its_own_region_one_participant() -> None:
    rng = np.random.default_rng(0)
    sums, volumes = rng.random((2, 20, 3))
    volumes[4, 1] = np.nan  # of one participant and one region
    volumes[2:, 2] = np.nan  # of nearly all: too few are left
    people = np.array([f"sub-{i}" for i in range(20)])
    found = _correlated(sums, volumes, np.ones(20, bool), people, seed=0)
    regions = single_regions([(300 + n, f"region {n}") for n in range(3)])
    view = View("X", False, regions, np.full(3, 4.0), sums, sums, sums.sum(axis=1))
    rows = list(_region_rows(view, found, {}))
    assert [(row["index"], row["n"]) for row in rows] == [(300, 20), (301, 19)]
    known = np.arange(20) != 4
    assert rows[0]["r"] == pytest.approx(pearsonr(sums[:, 0], volumes[:, 0])[0])
    assert rows[1]["r"] == pytest.approx(pearsonr(sums[known, 1], volumes[known, 1])[0])
    assert rows[1]["mean"] == pytest.approx(volumes[known, 1].mean())
    expected = holm(np.array([row["p_value"] for row in rows]))
    np.testing.assert_allclose([row["p_holm"] for row in rows], expected)


def test_nothing_known_gives_no_lines() -> None:
    nothing = np.full((20, 1), np.nan)
    people = np.array([f"sub-{i}" for i in range(20)])
    assert _correlated(np.ones((20, 1)), nothing, np.ones(20, bool), people, seed=0) == []
