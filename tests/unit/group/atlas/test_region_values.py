"""Region sums of many maps as arrays, against loops over maps and labels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from atlas_cases import LABELS, SHAPE, atlases, prediction

from bids_xai.errors import BadDataError
from bids_xai.group.atlas.parts import Part
from bids_xai.group.atlas.region_values import RegionValues, scan_region_rows

N = 3


@pytest.fixture
def maps() -> np.ndarray:
    return np.random.default_rng(3).normal(0.3, 1.0, size=(N, *SHAPE)).astype(np.float32)


@pytest.fixture
def values(maps: np.ndarray) -> RegionValues:
    collected = RegionValues(atlases(), N)
    for line in (2, 0, 1):
        collected.add(line, maps[line])
    return collected


def test_views_hold_the_sums_of_regions_apart_and_joined(
    values: RegionValues, maps: np.ndarray
) -> None:
    apart, joined, second = values.views()
    assert [(v.atlas, v.merged) for v in (apart, joined, second)] == [
        ("X", False),
        ("X", True),
        ("Y", False),
    ]
    labels = atlases()[0].volume.data
    for column, (index, name) in enumerate(LABELS):
        inside = labels == index
        assert apart.regions[column].name == name
        assert apart.n_voxels[column] == inside.sum()
        for line in range(N):
            region = maps[line][inside].astype(np.float64)
            assert apart.sums[line, column] == pytest.approx(region.sum(), abs=1e-5)
            assert apart.abs_sums[line, column] == pytest.approx(np.abs(region).sum(), rel=1e-6)
    place = [region.name for region in joined.regions].index("Part4")
    inside = np.isin(labels, [308, 309])
    assert joined.n_voxels[place] == inside.sum()
    expected = [m[inside].sum(dtype=np.float64) for m in maps]
    np.testing.assert_allclose(joined.sums[:, place], expected, atol=1e-5)
    np.testing.assert_allclose(joined.totals, maps.sum(axis=(1, 2, 3), dtype=np.float64))


def test_density_and_share_are_quotients_where_they_are_defined(
    values: RegionValues, maps: np.ndarray
) -> None:
    view = values.views()[0]
    inside = atlases()[0].volume.data == 302
    np.testing.assert_allclose(view.densities[:, 2], [m[inside].mean() for m in maps], rtol=1e-4)
    shares = [m[inside].sum() / m.sum(dtype=np.float64) for m in maps]
    np.testing.assert_allclose(view.shares[:, 2], shares, rtol=1e-4)
    missing = [name for _, name in LABELS].index("Missing")
    assert np.isnan(view.densities[:, missing]).all()
    assert (view.shares[:, missing] == 0).all()


def test_a_part_of_a_view_is_its_lines(values: RegionValues) -> None:
    view = values.views()[1]
    part = view.of(Part("A", "m", 1, 3))
    np.testing.assert_array_equal(part.sums, view.sums[1:3])
    np.testing.assert_array_equal(part.abs_sums, view.abs_sums[1:3])
    np.testing.assert_array_equal(part.totals, view.totals[1:3])
    assert (part.regions, part.atlas, part.merged) == (view.regions, "X", True)
    np.testing.assert_array_equal(part.n_voxels, view.n_voxels)


def test_lines_go_map_by_map_through_all_atlases_with_sides_apart(values: RegionValues) -> None:
    predictions = [
        prediction(participant_id=f"sub-{n}", session_id="ses-1", split=n, outcome="FN")
        for n in range(N)
    ]
    views = values.views()
    rows = list(scan_region_rows(predictions, views))
    assert len(rows) == N * (len(LABELS) + 2)
    row = rows[len(LABELS) + 2 + 3]
    assert (row.participant_id, row.split, row.name) == ("sub-1", 1, "Part1_R")
    assert (row.session_id, row.outcome, row.method) == ("ses-1", "FN", "m")
    assert (row.atlas, row.index, row.hemisphere) == ("X", 303, "R")
    assert row.sum == views[0].sums[1, 3]
    assert row.density == pytest.approx(row.sum / row.n_voxels)
    assert row.share == pytest.approx(row.sum / views[0].totals[1])
    assert rows[len(LABELS)].hemisphere is None  # Grey
    assert math.isnan(next(r for r in rows if r.name == "Missing").density)


def test_maps_that_do_not_fit_are_refused_and_without_an_atlas_none_is_looked_at() -> None:
    with pytest.raises(BadDataError, match="differ in shape"):
        RegionValues(atlases(), 1).add(0, np.ones((2, 2, 2), np.float32))
    nothing = RegionValues([], 1)
    nothing.add(0, np.ones((2, 2, 2), np.float32))
    assert nothing.views() == []
