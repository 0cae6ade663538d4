"""Sides of regions, and what joining them adds up."""

from __future__ import annotations

import numpy as np

from bids_xai.core.regions.names import (
    Region,
    hemisphere_of,
    joined_regions,
    joined_sums,
    single_regions,
)
from bids_xai.core.regions.sums import region_relevance

LABELS = (
    (300, "Left Putamen"),
    (2, "Right Putamen"),
    (7, "Brain-Stem"),
    (9, "Caudate_L"),
    (10, "Vermis"),
    (11, "Left Vermis"),
    (12, "Right Vermis"),
)


def test_every_label_is_a_region_with_the_side_of_its_name() -> None:
    found = single_regions(LABELS)
    assert [r.index for r in found] == [300, 2, 7, 9, 10, 11, 12]
    assert [r.hemisphere for r in found] == ["L", "R", "", "L", "", "L", "R"]
    assert [r.members for r in found] == [(i,) for i in range(7)]
    assert (hemisphere_of("ctx-rh-insula"), hemisphere_of("Lateral")) == ("R", "")


def test_sides_are_joined_by_name_and_others_stay() -> None:
    assert joined_regions(LABELS) == (
        Region(2, "Putamen", "both", (0, 1)),
        Region(7, "Brain-Stem", "", (2,)),
        Region(9, "Caudate_L", "L", (3,)),  # its other side is missing
        Region(10, "Vermis", "", (4,)),  # the midline is not the sum of its sides
        Region(11, "Vermis", "both", (5, 6)),
    )


def test_an_atlas_without_sides_has_nothing_to_join() -> None:
    assert joined_regions(((1, "Genu"), (2, "Splenium"), (3, "Genu"))) == ()
    assert joined_regions(()) == ()


def test_two_parts_of_one_side_are_joined_to_that_side() -> None:
    assert joined_regions(((1, "Left Crus"), (2, "Crus_L"))) == (Region(1, "Crus", "L", (0, 1)),)


def test_joined_sums_are_those_of_an_atlas_whose_sides_have_one_label() -> None:
    rng = np.random.default_rng(0)
    values = [index for index, _ in LABELS]
    labels = rng.choice([0, *values], size=(6, 7, 8))
    relevance = rng.normal(size=labels.shape)
    single = region_relevance(relevance, labels, values)
    one = labels.copy()
    one[one == 300] = 2
    one[one == 12] = 11
    expected = region_relevance(relevance, one, [2, 7, 9, 10, 11])
    regions = joined_regions(LABELS)
    for name in ("sum", "abs_sum", "n_voxels"):
        found = joined_sums(getattr(single, name), regions)
        np.testing.assert_allclose(found, getattr(expected, name))
    both = joined_sums(np.stack([single.sum, 2 * single.sum]), regions)
    np.testing.assert_allclose(both[1], 2 * both[0])
