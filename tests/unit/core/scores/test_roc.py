"""ROC curves by hand, against scikit-learn and against the area under them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from bids_xai.core.scores import classification_scores, fpr_grid, roc_band, roc_on_grid


def test_roc_by_hand() -> None:
    truth, p = [True, False, True, False], [0.9, 0.8, 0.3, 0.3]
    grid = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    # corners (0, 0) (0, 1/2) (1/2, 1/2) (1, 1): the tie at 0.3 is a slope
    np.testing.assert_allclose(roc_on_grid(truth, p, grid), [0.5, 0.5, 0.5, 0.75, 1.0])
    assert roc_on_grid([True], [0.5], grid) is None
    assert roc_on_grid([False], [0.5], grid) is None


def test_roc_against_scikit_learn_and_its_area_against_the_auc() -> None:
    rng = np.random.default_rng(6)
    for n_negative in (7, 10, 29):
        truth = rng.permutation([True] * 13 + [False] * n_negative)
        p = np.round(rng.random(truth.size) * 0.6 + truth * 0.3, 1)
        fine = fpr_grid(n_negative * 40 + 1)
        curve = roc_on_grid(truth, p, fine)
        assert curve is not None
        fpr, tpr, _ = roc_curve(truth, p, drop_intermediate=False)
        for x, y in zip(fine, curve, strict=True):
            at = np.isclose(fpr, x, atol=1e-9)
            if at.any():
                assert y == pytest.approx(tpr[at].max())
            else:
                before, after = np.flatnonzero(fpr < x)[-1], np.flatnonzero(fpr > x)[0]
                slope = (tpr[after] - tpr[before]) / (fpr[after] - fpr[before])
                assert y == pytest.approx(tpr[before] + slope * (x - fpr[before]))
        area = np.mean((curve[1:] + curve[:-1]) / 2)
        scores = classification_scores(truth, p)
        assert area == pytest.approx(scores.auc, abs=0.5 / 40 / n_negative * 13 + 1e-9)


def test_roc_at_its_own_corners_is_not_put_off_by_rounding() -> None:
    for n in range(3, 120):
        # one scan of each class after the other: the curve jumps at every corner
        truth, p = np.tile([True, False], n), np.arange(2.0 * n)[::-1]
        curve = roc_on_grid(truth, p, fpr_grid(n + 1))
        np.testing.assert_allclose(curve, np.minimum(np.arange(1, n + 2), n) / n)


def test_roc_band_is_rate_by_rate() -> None:
    grid = fpr_grid(3)
    curves = [np.array([0, x, 1.0]) for x in (0.2, 0.4, 0.9)]
    band = roc_band(curves, grid)
    np.testing.assert_allclose(band.mean, [0, 0.5, 1])
    np.testing.assert_allclose(band.percentile_2_5, [0, 0.21, 1])
    np.testing.assert_allclose(band.percentile_97_5, [0, 0.875, 1])
    assert band.n == 3
    with pytest.raises(ValueError, match="do not fit"):
        roc_band([], grid)
