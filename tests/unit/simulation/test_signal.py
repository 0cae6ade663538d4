"""Signal equations against the formula and against slow or independent versions."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.simulation import signal as s


def test_ernst_signal_is_the_steady_state_of_many_pulses() -> None:
    angle, decay = np.radians(18), np.exp(-0.035 / 0.85)
    along = 1.0
    for _ in range(2000):
        signal = along * np.sin(angle)
        along = 1 - (1 - along * np.cos(angle)) * decay
    assert s.ernst_signal(0.7, 0.85, 0.035, 18) == pytest.approx(0.7 * signal)


def test_mix_weights_by_proportion_and_leaves_air_empty() -> None:
    proportions = {"white": np.array([1, 0.25, 0]), "csf": np.array([0, 0.25, 0])}
    s0, r2star = s.mix(proportions, {"white": 20.0, "csf": 2.0})
    assert r2star == pytest.approx([20, 11, 0])
    white, csf = (
        s.ernst_signal(s.TISSUES[name].proton_density, s.TISSUES[name].t1_s, 0.035, 18)
        for name in ("white", "csf")
    )
    assert s0 == pytest.approx([white, (white + csf) / 4, 0])


def test_decay_is_mono_exponential() -> None:
    found = s.decay(np.array([2.0, 3]), np.array([10.0, 40]), (0.01, 0.03))
    expected = [[2 * np.exp(-0.1), 3 * np.exp(-0.4)], [2 * np.exp(-0.3), 3 * np.exp(-1.2)]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_noise_is_rayleigh_in_air_and_gaussian_where_signal_is_high() -> None:
    rng, n, sigma = np.random.default_rng(0), 200_000, 5.0
    air = s.add_rician_noise(np.zeros(n, "f4"), sigma, rng)
    assert air.mean() == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=0.01)
    assert air.std() == pytest.approx(sigma * np.sqrt(2 - np.pi / 2), rel=0.01)
    bright = s.add_rician_noise(np.full(n, 500, "f4"), sigma, rng)
    assert bright.mean() == pytest.approx(500 + sigma**2 / 1000, abs=0.05)
    assert bright.std() == pytest.approx(sigma, rel=0.01)


def test_echo_times_are_multiples_of_the_first() -> None:
    np.testing.assert_allclose(s.ECHO_TIMES_S, 0.00492 * np.arange(1, 7))


def test_inversion_signal_is_the_steady_state_of_many_pulses() -> None:
    tissue, tr, te, ti = s.FlairTissue(0.82, 1.4, 0.095), 9.0, 0.12, 2.5
    along = 1.0
    for _ in range(50):
        along = 1 - (1 + along) * np.exp(-ti / tissue.t1_s)  # inverted, then recovered until TI
        signal = 0.82 * abs(along) * np.exp(-te / tissue.t2_s)
        along = 1 - np.exp(-(tr - ti) / tissue.t1_s)  # tipped over, then recovered until TR
    assert s.inversion_signal(tissue, tr, te, ti) == pytest.approx(signal)


def test_flair_shows_fluid_dark_grey_above_white_and_lesions_brightest() -> None:
    names = ("csf", "white", "grey", "lesion")
    found = [float(s.flair_signal({name: np.ones(1)})[0]) for name in names]
    assert found == sorted(found)
    assert found[0] < 0.4 * found[1]
    assert found[3] > 1.8 * found[1]
    half = s.flair_signal({"white": np.full(1, 0.5), "lesion": np.full(1, 0.5)})
    assert half == pytest.approx((found[1] + found[3]) / 2)


def test_flair_knows_every_tissue_of_a_head() -> None:
    assert set(s.FLAIR_TISSUES) == {*s.TISSUES, "lesion"}
    for name, tissue in s.TISSUES.items():
        assert s.FLAIR_TISSUES[name][:2] == tissue[:2]
