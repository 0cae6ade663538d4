"""The standard deviation of noise from air."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bids_xai.core.relaxometry.noise import noise_sigma
from bids_xai.errors import BadDataError

Array = NDArray[np.float64]

EQUAL_S = np.arange(1, 7) * 0.00492


def decay(times: Array, rate: Array, s0: float = 1000.0) -> Array:
    """S0 exp(-t R2*), (n_echoes, n_voxels)."""
    return np.asarray(s0 * np.exp(-np.outer(times, rate)))


def rician(clean: Array, sigma: float, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, sigma, clean.shape) + 1j * rng.normal(0, sigma, clean.shape)
    return np.abs(clean + noise)


@pytest.mark.parametrize("sigma", [1e-6, 12.0])
def test_sigma_of_air_is_found_with_and_without_a_mask(sigma: float) -> None:
    air = rician(np.zeros((6, 20000)), sigma, seed=7)
    head = rician(decay(EQUAL_S, np.linspace(5, 60, 15000), 60 * sigma), sigma, seed=8)
    both = np.hstack([air, head])
    is_air = np.arange(35000) < 20000
    assert noise_sigma(both, is_air) == pytest.approx(sigma, rel=0.01)
    assert noise_sigma(both) == pytest.approx(sigma, rel=0.03)
    assert noise_sigma(air) == pytest.approx(sigma, rel=0.01)
    both[:, ::3], both[0, 1] = 0, np.nan  # masked air and broken voxels do not count
    assert noise_sigma(both) == pytest.approx(sigma, rel=0.03)
    assert noise_sigma(np.round(air / sigma * 8).astype(np.int16)) == pytest.approx(8, rel=0.05)


def test_sigma_needs_air() -> None:
    with pytest.raises(BadDataError, match="99 air samples are too few"):
        noise_sigma(np.ones(99))
    with pytest.raises(BadDataError, match="too few"):
        noise_sigma(np.ones((6, 500)), np.zeros(500, dtype=bool))
    head = rician(decay(EQUAL_S, np.linspace(15, 25, 5000)), 10, seed=9)
    with pytest.raises(BadDataError, match="do not look like noise") as caught:
        noise_sigma(head)
    assert "mask" in (caught.value.fix or "")
