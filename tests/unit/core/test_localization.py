"""Localisation measures against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.core.localization import localize
from bids_xai.errors import BadDataError, UsageError

SHAPE = (7, 6, 5)


@pytest.fixture
def region() -> np.ndarray:
    found = np.zeros(SHAPE, bool)
    found[2:4, 1:4, 1:3] = True
    return found


def test_equals_a_loop_over_sorted_voxels(region) -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        relevance = rng.normal(size=SHAPE) + 0.5 * region
        found = localize(relevance, region)
        voxels = sorted(np.ndindex(SHAPE), key=lambda v: -relevance[v])
        size = int(region.sum())
        assert found.n_voxels == size
        assert found.rank_accuracy == pytest.approx(sum(region[v] for v in voxels[:size]) / size)
        assert found.pointing_game == float(region[voxels[0]])
        positive = [(relevance[v], region[v]) for v in voxels if relevance[v] > 0]
        inside = sum(r for r, here in positive if here)
        assert found.mass_accuracy == pytest.approx(inside / sum(r for r, _ in positive))


def test_perfect_and_wrong_maps(region) -> None:
    perfect, wrong = localize(1.0 * region, region), localize(1.0 * ~region, region)
    assert (perfect.mass_accuracy, perfect.rank_accuracy, perfect.pointing_game) == (1, 1, 1)
    assert (wrong.mass_accuracy, wrong.rank_accuracy, wrong.pointing_game) == (0, 0, 0)


def test_a_flat_map_gets_what_chance_gives(region) -> None:
    found = localize(np.full(SHAPE, 0.3), region)
    assert found.chance == pytest.approx(12 / 210)
    for value in (found.mass_accuracy, found.rank_accuracy, found.pointing_game):
        assert value == pytest.approx(found.chance)


def test_tolerance_is_in_mm(region) -> None:
    relevance = np.zeros(SHAPE)
    relevance[5, 2, 2] = 1.0  # two voxels from the region
    for tolerance, expected in ((0.0, 0.0), (3.9, 0.0), (4.0, 1.0)):
        found = localize(relevance, region, tolerance_mm=tolerance, voxel_mm=(2.0, 2.0, 2.0))
        assert found.pointing_game == expected
        assert found.rank_accuracy < 1  # the tolerance is of the pointing game alone


def test_maps_without_positive_relevance_say_nothing(region) -> None:
    found = localize(-np.ones(SHAPE), region)
    assert np.isnan([found.mass_accuracy, found.rank_accuracy, found.pointing_game]).all()


def test_mistakes_are_named(region) -> None:
    relevance = np.ones(SHAPE)
    with pytest.raises(BadDataError, match="differ in shape"):
        localize(relevance[1:], region)
    with pytest.raises(BadDataError, match="empty"):
        localize(relevance, region & ~region)
    with pytest.raises(BadDataError, match="undefined"):
        localize(np.where(region, np.nan, 1.0), region)
    with pytest.raises(UsageError, match="tolerance"):
        localize(relevance, region, tolerance_mm=-1.0)
