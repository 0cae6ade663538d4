"""Platt's sigmoid against its targets and a search for the highest likelihood."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit

from bids_xai.core.baselines import platt_sigmoid


@pytest.mark.parametrize("shares", [(0.9, 0.2), (0.5, 0.5), (1.0, 0.0)])
def test_the_sigmoid_of_two_values_is_known(shares: tuple[float, float]) -> None:
    """Values +1 and -1, of each class a share at +1: the sigmoid goes through the mean targets."""
    truth = np.repeat([True, False], [20, 60])
    n_high = [round(share * n) for share, n in zip(shares, (20, 60), strict=True)]
    values = np.concatenate(
        [np.where(np.arange(n) < high, 1.0, -1.0) for high, n in zip(n_high, (20, 60), strict=True)]
    )
    slope, offset = platt_sigmoid(values, truth)
    if shares[0] == shares[1]:
        assert (slope, offset) == (1.0, 0.0)
        return
    target = np.where(truth, 21 / 22, 1 / 62)
    weight = np.where(truth, 1 / 20, 1 / 60)
    for at in (1.0, -1.0):
        mine = values == at
        expected = (weight[mine] * target[mine]).sum() / weight[mine].sum()
        assert slope * at + offset == pytest.approx(logit(expected), abs=1e-4)


def test_the_sigmoid_has_the_highest_likelihood() -> None:
    rng = np.random.default_rng(2)
    truth = np.arange(70) < 20
    values = 1e-3 * (rng.normal(size=70) + 1.2 * truth) + 5e-3  # far from 0, small

    def loss(ab: np.ndarray) -> float:
        p = expit(ab[0] * values * 1e3 + ab[1])
        total = 0.0
        for chance, own in zip(p, truth, strict=True):
            target = 21 / 22 if own else 1 / 52
            total -= (target * np.log(chance) + (1 - target) * np.log(1 - chance)) / (
                20 if own else 50
            )
        return total

    best = minimize(
        loss,
        [1.0, 0.0],
        method="Nelder-Mead",
        options={"xatol": 1e-8, "fatol": 1e-14, "maxiter": 4000},
    )
    slope, offset = platt_sigmoid(values, truth)
    assert slope == pytest.approx(1e3 * best.x[0], rel=1e-4)
    assert offset == pytest.approx(best.x[1], rel=1e-4)


@pytest.mark.parametrize("values", [np.arange(20.0), np.ones(20)])
def test_values_that_say_nothing_keep_their_sign(values: np.ndarray) -> None:
    assert platt_sigmoid(values, np.arange(20) < 10) == (1.0, 0.0)
