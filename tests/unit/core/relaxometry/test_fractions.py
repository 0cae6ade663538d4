"""Fractions of a mask without a fit and at a bound, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.core.relaxometry.echoes import R2STAR_MAX_PER_S
from bids_xai.core.relaxometry.fit import fit_r2star
from bids_xai.core.relaxometry.fractions import fractions_in, missing_echo_fraction


def test_fractions_are_of_the_mask_alone() -> None:
    rate = np.array([20.0, 0, 0, R2STAR_MAX_PER_S, 30, 0, 0, 0, 0, 0])
    s0 = np.array([1.0, 0, 1, 1, 1, 0, 0, 0, 0, 0])
    inside = np.arange(10) < 5  # what lies outside is all invalid
    fractions = fractions_in(rate, s0, inside)
    assert (fractions.invalid, fractions.at_bound) == (pytest.approx(0.2), pytest.approx(0.4))


def test_they_count_what_the_fit_leaves() -> None:
    times = np.array([0.005, 0.010, 0.015])
    signal = np.outer(np.exp(-times * 20), np.full(8, 100.0))
    signal[:, 0] = 0  # no signal
    signal[1, 1] = -1  # negative
    signal[2, 2] = np.nan
    signal[:, 3] = [1, 2, 3]  # grows: R2* at 0
    fit = fit_r2star(signal, times)
    fractions = fractions_in(fit.r2star, fit.s0, np.ones(8, bool))
    assert (fractions.invalid, fractions.at_bound) == (3 / 8, 1 / 8)
    assert fit.n_invalid == 3


def test_echoes_that_are_exactly_zero_are_counted_where_there_is_signal() -> None:
    signal = np.full((4, 10), 100.0)
    signal[3, :2] = 0  # left out by a threshold
    signal[0, 2] = 0
    signal[:, 3] = 0  # no signal at all: invalid, not missing
    signal[2, 4] = -1
    signal[1, 9] = 0  # outside
    inside = np.arange(10) < 8
    assert missing_echo_fraction(signal, inside) == 3 / 8
    assert missing_echo_fraction(signal.astype(np.int16), inside) == 3 / 8
