"""The iteration itself, from starts that the fit never gives it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bids_xai.core.relaxometry import least_squares
from bids_xai.core.relaxometry.echoes import Echoes
from bids_xai.core.relaxometry.fit import R2STAR_MAX_PER_S
from bids_xai.core.relaxometry.least_squares import minimise

Array = NDArray[np.float64]

EQUAL_S = np.arange(1, 7) * 0.00492
UNEQUAL_S = np.array([0.0031, 0.0049, 0.0112, 0.0140, 0.0323])


def decay(times: Array, rate: Array, s0: float = 1000.0) -> Array:
    """S0 exp(-t R2*), (n_echoes, n_voxels)."""
    return np.asarray(s0 * np.exp(-np.outer(times, rate)))


def explained(signal: Array, times: Array, rate: Array) -> Array:
    basis = np.exp(-(times - times[0])[:, None] * rate)
    return np.asarray((signal * basis).sum(0) ** 2 / (basis**2).sum(0))


@pytest.mark.parametrize("times", [EQUAL_S, UNEQUAL_S], ids=["equal", "unequal"])
def test_a_decay_is_found_from_any_start(times: Array) -> None:
    rates, starts = np.meshgrid([1.0, 20, 60, 200, 400], np.linspace(0, 1000, 41))
    signal = decay(times, rates.ravel())
    with np.errstate(all="ignore"):
        found = minimise(signal, None, starts.ravel(), Echoes.of(times, np))
    np.testing.assert_allclose(found, rates.ravel(), rtol=1e-5)


@pytest.mark.parametrize("times", [EQUAL_S, UNEQUAL_S], ids=["equal", "unequal"])
@pytest.mark.parametrize("power", [1, 6])
def test_the_iteration_never_ends_worse_than_it_began(times: Array, power: int) -> None:
    """Noise, and spikes (its 6th power), from random starts."""
    rng = np.random.default_rng(20)
    signal = rng.random((times.size, 30000)) ** power
    start = rng.uniform(0, 1000, 30000)
    with np.errstate(all="ignore"):
        found = minimise(signal, None, start, Echoes.of(times, np))
    begin, end = explained(signal, times, start), explained(signal, times, found)
    assert (end >= begin * (1 - 1e-12)).all()
    for step in (-0.01, 0.01):  # and each is a minimum, or held by a bound
        beside = explained(signal, times, np.clip(found + step, 0, R2STAR_MAX_PER_S))
        assert np.mean(beside > end * (1 + 1e-10)) < 1e-3


@pytest.mark.parametrize("n_steps", [1, 2, 3, 8])
def test_an_iteration_that_runs_out_of_steps_returns_its_best(
    n_steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(least_squares, "_GUARDED_STEPS", n_steps)
    rng = np.random.default_rng(21)
    signal, start = rng.random((6, 5000)) ** 6, rng.uniform(0, 1000, 5000)
    with np.errstate(all="ignore"):
        found = minimise(signal, None, start, Echoes.of(EQUAL_S, np))
    end = explained(signal, EQUAL_S, found)
    assert (end >= explained(signal, EQUAL_S, start) * (1 - 1e-12)).all()
