"""Groups of maps by class and outcome, their means, and the guard of the gain."""

from __future__ import annotations

import numpy as np
import pytest
from atlas_cases import prediction, view

from bids_xai.group.atlas.groups import METRICS, GroupMeans, Groups, gain_of, mean_of
from bids_xai.studies.tables import Target


def test_undefined_values_are_left_out_of_the_means() -> None:
    values = np.array([[1.0, np.nan], [3.0, np.nan]])
    np.testing.assert_array_equal(mean_of(values), [2.0, np.nan])
    assert np.isnan(mean_of(np.zeros((0, 2)))).all()


def test_predictions_are_sorted_into_classes_outcomes_and_splits() -> None:
    rows = [
        prediction(true_class="AD", outcome="FN", split=3),
        prediction(true_class="NC", outcome="TN", split=0),
        prediction(true_class="AD", outcome="TP", split=3),
    ]
    groups = Groups.of(rows, Target("diagnosis", "NC", "AD"))
    assert groups.names == ("NC", "AD", "TP", "FN", "TN")  # FP has no map
    np.testing.assert_array_equal(groups.members["AD"], [True, False, True])
    np.testing.assert_array_equal(groups.members["FN"], [True, False, False])
    assert not groups.members["FP"].any()
    np.testing.assert_array_equal(groups.controls, [False, True, False])
    np.testing.assert_array_equal(groups.splits, [3, 0, 3])


def test_of_three_classes_the_others_are_a_group_of_their_own() -> None:
    target = Target("diagnosis", classes=("NC", "MCI", "AD"), positive="AD")
    rows = [prediction(true_class=name, outcome="TN") for name in ("MCI", "AD", "NC")]
    groups = Groups.of(rows, target)
    np.testing.assert_array_equal(groups.members["others"], [True, False, True])
    np.testing.assert_array_equal(groups.members["others"], groups.controls)


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_is_a_mean_over_the_scans_of_the_group(metric: str) -> None:
    rng = np.random.default_rng(0)
    maps = view(rng.normal(1.0, 1.0, size=(6, 3)).tolist())
    members, controls = np.arange(6) < 2, np.arange(6) >= 2
    means = GroupMeans.of(maps, members, controls)
    sums = maps.sums
    slow = {
        "sum": [np.mean([sums[0, r], sums[1, r]]) for r in range(3)],
        "abs_sum": [np.mean([abs(sums[0, r]), abs(sums[1, r])]) for r in range(3)],
        "density": [np.mean([sums[0, r], sums[1, r]]) / 4 for r in range(3)],
        "gain": [
            np.mean([sums[0, r], sums[1, r]]) / np.mean(sums[2:, r])
            if np.mean(sums[2:, r]) > 0
            else np.nan
            for r in range(3)
        ],
    }
    np.testing.assert_allclose(means.metric(metric), slow[metric])


def test_the_gain_of_the_controls_is_one_and_a_thousandth_of_noise_is_none() -> None:
    maps = view([[2.0, 1e-9], [4.0, -1e-9], [3.0, 0.0]])
    controls = np.ones(3, bool)
    np.testing.assert_array_equal(gain_of(mean_of(maps.sums), maps, controls), [1.0, np.nan])
