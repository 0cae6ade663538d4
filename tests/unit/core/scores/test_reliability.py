"""Calibration by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from bids_xai.core.scores import calibration
from bids_xai.errors import BadDataError


def test_calibration_by_hand() -> None:
    truth = [False, True, True, False, True, True]
    found = calibration(truth, [0.0, 0.4, 0.5, 0.6, 0.8, 1.0], n_bins=2)
    np.testing.assert_allclose(found.predicted, [0.3, 0.8])
    np.testing.assert_allclose(found.observed, [2 / 3, 2 / 3])
    assert found.counts.tolist() == [3, 3]
    assert found.brier == pytest.approx((0.36 + 0.25 + 0.36 + 0.04) / 6)
    assert found.expected_error == pytest.approx((2 / 3 - 0.3) / 2 + (0.8 - 2 / 3) / 2)


def test_calibration_against_scikit_learn() -> None:
    rng = np.random.default_rng(7)
    p = rng.random(120)
    truth = rng.random(120) < p
    found = calibration(truth, p, n_bins=8)
    observed, predicted = calibration_curve(truth, p, n_bins=8, strategy="quantile")
    np.testing.assert_allclose(found.observed, observed)
    np.testing.assert_allclose(found.predicted, predicted)
    assert set(found.counts.tolist()) == {15}
    assert found.brier == pytest.approx(brier_score_loss(truth, p))
    uneven = calibration(truth[:107], p[:107], n_bins=8)
    assert set(uneven.counts.tolist()) == {13, 14}


def test_calibration_keeps_equal_probabilities_together_in_whatever_order() -> None:
    p = np.repeat([0.1, 0.2, 0.9], [2, 6, 4])
    truth = np.arange(12) % 3 == 0
    found = calibration(truth, p, n_bins=4)
    np.testing.assert_allclose(found.predicted, [0.1, 0.2, 0.9])
    assert found.counts.tolist() == [2, 6, 4]
    expected = (2 * (1 / 2 - 0.1) + 6 * (1 / 3 - 0.2) + 4 * (0.9 - 1 / 4)) / 12
    assert found.expected_error == pytest.approx(expected)
    middle = calibration([True] * 6, np.repeat([0.1, 0.2, 0.3], [1, 4, 1]), n_bins=3)
    assert middle.counts.tolist() == [1, 4, 1]  # by midrank; by last rank it would be 1 and 5
    order = np.random.default_rng(0).permutation(12)
    again = calibration(truth[order], p[order], n_bins=4)
    np.testing.assert_allclose(again.observed, found.observed)
    assert calibration([True], [0.7]).expected_error == pytest.approx(0.3)


def test_what_is_no_probability_is_not_calibrated() -> None:
    with pytest.raises(BadDataError, match=r"from -0\.5 to 2"):
        calibration([True, False], [2.0, -0.5])
    with pytest.raises(ValueError, match="0 bins"):
        calibration([True, False], [0.2, 0.5], n_bins=0)
