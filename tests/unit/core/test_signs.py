"""Negative values: shares by hand, and which images are shifted."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.core.signs import MOST_NEGATIVE, negative_share, without_sign


def test_the_share_is_of_sizes_and_of_finite_values() -> None:
    values = np.array([[3.0, -1.0, np.nan], [5.0, -1.0, np.inf]])
    assert negative_share(values) == pytest.approx(2 / 10)
    assert negative_share(values[0]) == pytest.approx(1 / 4)
    assert negative_share(np.zeros((2, 3))) == negative_share(np.full(3, np.nan)) == 0


def test_unwrapped_phase_has_far_more_and_ringing_far_less() -> None:
    rng = np.random.default_rng(0)
    assert negative_share(rng.normal(0, 2, (4, 1000))) > 0.4
    head = np.where(np.arange(1000) < 300, 500.0, 0) + rng.normal(0, 5, 1000)
    assert negative_share(head) < MOST_NEGATIVE / 2


def test_a_signed_image_is_shifted_and_nothing_clipped() -> None:
    uni = np.linspace(-0.5, 0.5, 101, dtype=np.float32)
    shifted, shift = without_sign(uni)
    assert shift == 0.5
    assert shifted.dtype == np.float32
    np.testing.assert_allclose(shifted, uni + 0.5)
    assert len(np.unique(shifted)) == 101


def test_a_few_negative_values_stay_and_undefined_ones_do_not_count() -> None:
    image = np.array([100.0, 50, -1, np.nan])
    same, shift = without_sign(image)
    assert shift == 0
    np.testing.assert_array_equal(same, image)
    assert without_sign(np.array([-2.0, 1, -np.inf]))[1] == 2
