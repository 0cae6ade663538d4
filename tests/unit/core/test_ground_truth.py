"""What heatmaps of simulated scans prove, against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.core.ground_truth import (
    HIDDEN,
    LESS,
    NEITHER,
    NOT_USED,
    REMOVED,
    UNTOLD,
    Interval,
    density_ratio,
    finds,
    found_from,
    interval,
    paired,
    participant_means,
    shortcut_verdict,
)
from bids_xai.errors import BadDataError

SHAPE = (6, 5, 4)


def made(low: float, high: float) -> Interval:
    return Interval(mean=(low + high) / 2, low=low, high=high, n=10)


def regions() -> tuple[np.ndarray, np.ndarray]:
    region, brain = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    region[1:3, 1:3, 1:3] = True
    brain[:5, :, :3] = True
    return region, brain


def test_density_ratio_equals_a_loop() -> None:
    region, brain = regions()
    relevance = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    inside = [max(relevance[v], 0) for v in np.ndindex(SHAPE) if region[v]]
    outside = [max(relevance[v], 0) for v in np.ndindex(SHAPE) if brain[v] and not region[v]]
    expected = (sum(inside) / len(inside)) / (sum(outside) / len(outside))
    assert density_ratio(relevance, region, brain) == pytest.approx(expected, rel=1e-6)


def test_density_ratio_of_flat_empty_and_perfect_maps() -> None:
    region, brain = regions()
    assert density_ratio(np.full(SHAPE, 0.2), region, brain) == pytest.approx(1)
    assert density_ratio(1.0 * region, region, brain) == float("inf")
    assert density_ratio(1.0 * (brain & ~region), region, brain) == 0
    assert np.isnan(density_ratio(-np.ones(SHAPE), region, brain))
    assert density_ratio(1.0 * ~brain + region, region, brain) == float("inf")  # air counts not


@pytest.mark.parametrize("case", ["empty", "whole", "shape"])
def test_density_ratio_refuses_what_has_no_answer(case: str) -> None:
    region, brain = regions()
    if case == "empty":
        region[:] = False
    elif case == "whole":
        region = brain.copy()
    else:
        brain = brain[:-1]
    with pytest.raises(BadDataError):
        density_ratio(np.ones(SHAPE), region, brain)


def test_participants_are_averaged_before_they_are_counted() -> None:
    found = participant_means([1, 0, 0.5, float("nan"), float("nan")], ["a", "a", "b", "b", "c"])
    assert found == {"a": 0.5, "b": 0.5}


def test_paired_takes_those_that_both_have() -> None:
    first = {name: float(k) for k, name in enumerate("abcdefg")}
    second = {name: value - 2 for name, value in first.items() if name != "a"} | {"z": 50.0}
    found = paired(first, second)
    assert (found.mean, found.low, found.high, found.n) == (2, 2, 2, 6)
    assert found.above_zero
    assert not found.below_zero
    back = paired(second, first)
    assert back.below_zero
    assert not back.above_zero


def test_the_interval_covers_the_mean_and_is_as_wide_as_the_standard_error() -> None:
    values = np.random.default_rng(1).normal(size=200)
    found = interval(list(values))
    half = 1.96 * values.std() / np.sqrt(200)
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.03)
    assert found.high == pytest.approx(values.mean() + half, abs=0.03)


@pytest.mark.parametrize("n", [0, 1, 4])
def test_few_participants_give_no_interval_and_prove_nothing(n: int) -> None:
    found = interval([1.0] * n)
    assert np.isnan([found.low, found.high]).all()
    assert not found.above_zero
    assert not found.below_zero


def test_finding_needs_both_a_gain_and_the_highest_voxel() -> None:
    assert finds(made(0.01, 0.2), 0.5)
    assert not finds(made(0.01, 0.2), 0.49)
    assert not finds(made(-0.01, 0.2), 1.0)
    assert not finds(made(0.01, 0.2), float("nan"))


def test_found_from_needs_all_larger_effects() -> None:
    assert found_from({0: True, 15: False, 30: True, 60: True}) == 30
    assert found_from({15: True, 30: False, 60: True}) == 60
    assert found_from({15: True, 30: True}) == 15
    assert found_from({0: True, 15: True, 30: False}) is None
    assert found_from({0: True}) is None


@pytest.mark.parametrize(
    ("plain", "guided", "less_used", "less_shown", "expected"),
    [
        ((-0.1, 0.1), (0.1, 0.2), (0.1, 0.2), (0.1, 0.2), NOT_USED),
        ((0.2, 0.4), (-0.1, 0.1), (0.1, 0.4), (0.1, 0.2), REMOVED),
        ((0.2, 0.4), (0.05, 0.1), (0.1, 0.4), (0.1, 0.2), LESS),
        ((0.2, 0.4), (0.2, 0.4), (-0.1, 0.1), (0.1, 0.2), HIDDEN),
        ((0.2, 0.4), (0.1, 0.3), (-0.1, 0.3), (-0.1, 0.2), NEITHER),
        ((0.2, 0.4), (-0.1, 0.3), (-0.1, 0.3), (0.1, 0.2), UNTOLD),  # no evidence either way
        ((0.2, 0.4), (-0.1, 0.3), (-0.1, 0.3), (-0.1, 0.2), UNTOLD),
    ],
)
def test_verdicts_on_guidance(plain, guided, less_used, less_shown, expected) -> None:
    found = shortcut_verdict(made(*plain), made(*guided), made(*less_used), made(*less_shown))
    assert found == expected
