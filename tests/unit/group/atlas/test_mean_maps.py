"""Running means of maps, against means of stacks."""

from __future__ import annotations

import numpy as np
from atlas_cases import prediction

from bids_xai.group.atlas.mean_maps import MeanMaps, compared_groups
from bids_xai.studies.tables import Target

ROWS = [
    prediction(split=0, true_class="AD", outcome="TP"),
    prediction(split=0, true_class="AD", outcome="FN"),
    prediction(split=0, true_class="NC", outcome="TN"),
    prediction(split=2, true_class="AD", outcome="TP"),
]


def filled(data: np.ndarray) -> MeanMaps:
    means = MeanMaps(compared_groups(Target("diagnosis", "NC", "AD")))
    for row, relevance in zip(ROWS, data, strict=True):
        means.add(row, relevance)
    return means


def test_whole_means_are_those_of_all_maps_of_the_group() -> None:
    data = np.random.default_rng(0).normal(size=(4, 3, 4, 5)).astype(np.float32)
    whole = filled(data).whole()
    assert {group: mean.n_scans for group, mean in whole.items()} == {
        "AD": 3,
        "TP": 2,
        "FN": 1,
        "NC": 1,
        "TN": 1,
    }
    np.testing.assert_allclose(whole["AD"].data, data[[0, 1, 3]].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(whole["TP"].data, data[[0, 3]].mean(axis=0), atol=1e-6)
    assert whole["AD"].data.dtype == np.float32


def test_means_by_split_are_those_of_the_groups_to_compare() -> None:
    data = np.random.default_rng(1).normal(size=(4, 3, 4, 5)).astype(np.float32)
    by_split = filled(data).by_split()
    assert {group: list(maps) for group, maps in by_split.items()} == {
        "AD": [0, 2],
        "TP": [0, 2],
        "NC": [0],
        "TN": [0],
    }
    np.testing.assert_allclose(by_split["AD"][0], data[:2].mean(axis=0), atol=1e-6)
    np.testing.assert_array_equal(by_split["TP"][2], data[3])


def test_maps_given_in_are_not_changed() -> None:
    data = np.ones((4, 2, 2, 2), np.float32)
    filled(data)
    assert (data == 1).all()


def test_the_classes_and_what_was_right_are_compared() -> None:
    target = Target("diagnosis", classes=("NC", "MCI", "AD"), positive="AD")
    assert compared_groups(target) == ("NC", "MCI", "AD", "TP", "TN")
