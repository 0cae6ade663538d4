"""Means of groups by region, and their quotient where it says something."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from atlas_cases import predictions_of, view

from bids_xai.group.atlas.gain import gain_rows, ranking_rows
from bids_xai.group.atlas.groups import Groups
from bids_xai.group.atlas.parts import Part
from bids_xai.studies.tables import Target
from bids_xai.tables.atlas import RegionGain

TARGET = Target("diagnosis", "NC", "AD")
PART = Part("A", "m", 0, 9)


def groups(classes: Sequence[str], target: Target = TARGET) -> Groups:
    return Groups.of(predictions_of(classes), target)


def gains(
    sums: Sequence[Sequence[float]], classes: Sequence[str]
) -> dict[tuple[str, int], RegionGain]:
    found = gain_rows(view(sums), PART, groups(classes))
    return {(row.group, row.index): row for row in found}


def test_means_and_gain_are_those_of_the_hand() -> None:
    sums = [[6.0, 1.0], [2.0, 1.0], [1.0, 4.0], [2.0, 4.0], [6.0, 4.0]]
    found = gains(sums, ["AD", "AD", "NC", "NC", "NC"])
    assert set(found) == {(g, i) for g in ("NC", "AD", "TP", "TN") for i in (300, 301)}
    first = found["AD", 300]
    assert (first.n, first.n_controls, first.n_voxels) == (2, 3, 4)
    assert (first.mean_sum, first.mean_density) == (4, 1)
    assert first.gain == pytest.approx(4 / 3)
    assert found["AD", 301].gain == 0.25
    assert found["NC", 300].gain == found["TN", 301].gain == 1
    assert found["TP", 300].density_q500 == 1
    assert first.mean_share == pytest.approx((6 / 7 + 2 / 3) / 2)


@pytest.mark.parametrize("low", [0.0, 1e-9, -1e-9])
def test_a_quotient_of_nothing_is_not_given(low: float) -> None:
    found = gains([[0.5, 1.0], [low, 1.0]], ["AD", "NC"])
    assert np.isnan(found["AD", 300].gain)
    assert found["AD", 301].gain == 1
    assert found["NC", 300].mean_sum == low


def test_controls_that_cancel_out_are_next_to_nothing() -> None:
    found = gains([[0.5, 1.0], [3.0, 1.0], [-3.0, 1.0]], ["AD", "NC", "NC"])
    assert np.isnan(found["AD", 300].gain)


def test_what_is_left_of_signed_relevance_is_next_to_nothing() -> None:
    """Controls of 30, -29.9, … hold 0.05 on average of magnitudes of 30."""
    found = gains([[0.5, 1.0], [30.0, 1.0], [-29.9, 1.0]], ["AD", "NC", "NC"])
    assert np.isnan(found["AD", 300].gain)
    assert found["AD", 301].gain == 1


def test_a_quotient_of_negative_sums_leads_nowhere() -> None:
    """-9 over -1 is 9, but not a region that matters more than one of 3 over 2."""
    rows = ranking_rows(view([[-9.0, 3.0], [-1.0, 2.0]]), PART, groups(["AD", "NC"]))
    leading = [r.index for r in rows if (r.group, r.metric) == ("AD", "gain")]
    assert leading == [301]
    assert gains([[-9.0, 3.0], [-1.0, 2.0]], ["AD", "NC"])["AD", 300].gain == 9


def test_one_class_alone_has_no_gain() -> None:
    for name in ("AD", "NC"):
        found = gains([[0.5, 1.0]], [name])
        assert {key[0] for key in found} == {name, "TP" if name == "AD" else "TN"}
        defined = np.isfinite(found[name, 300].gain)
        assert defined == (name == "NC")
        assert found[name, 300].mean_sum == 0.5


def test_signed_relevance_keeps_its_sign() -> None:
    assert gains([[1.0, 0.0], [-2.0, 1.0]], ["AD", "NC"])["AD", 300].gain == -0.5
    controls = gains([[1.0, 0.0], [-2.0, 1.0], [1.0, 1.0]], ["AD", "NC", "NC"])["NC", 300]
    assert (controls.mean_sum, controls.mean_abs_sum) == (-0.5, 1.5)


def test_of_several_classes_all_but_the_positive_are_controls() -> None:
    target = Target("diagnosis", classes=("NC", "MCI", "AD"), positive="AD")
    made = groups(["AD", "MCI", "NC"], target)
    found = {(r.group, r.index): r for r in gain_rows(view([[6.0], [1.0], [3.0]]), PART, made)}
    assert found["AD", 300].gain == 3
    assert (found["others", 300].gain, found["others", 300].n) == (1, 2)
    assert (found["MCI", 300].gain, found["AD", 300].n_controls) == (0.5, 2)


def test_undefined_values_are_left_out_of_the_means() -> None:
    found = gain_rows(view([[1.0], [3.0]], totals=[0.0, 2.0]), PART, groups(["AD", "AD"]))
    assert found[0].mean_share == 1.5


def test_the_guard_does_not_depend_on_the_unit_of_relevance() -> None:
    found = gains([[3e-8], [1e-8]], ["AD", "NC"])
    assert found["AD", 300].gain == pytest.approx(3)


def test_regions_without_a_value_have_no_rank() -> None:
    sums = [[1.0, 5.0, 2.0], [0.0, 1.0, 1.0]]
    found = [
        (row.rank, row.index, row.value)
        for row in ranking_rows(view(sums), PART, groups(["AD", "NC"]))
        if (row.group, row.metric) == ("AD", "gain")
    ]
    assert found == [(1, 301, 5.0), (2, 302, 2.0)]
