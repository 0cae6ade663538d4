"""Truth and probabilities of two classes: refusals, and the area under the curve by pairs."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.core.scores import classification_scores
from bids_xai.core.scores.two_classes import area_under_curve, two_class_arrays
from bids_xai.errors import BadDataError


@pytest.mark.parametrize(("truth", "p"), [([], []), ([True], [np.nan]), ([True], [0.1, 0.2])])
def test_unusable_predictions_are_refused(truth: list[bool], p: list[float]) -> None:
    with pytest.raises(BadDataError):
        classification_scores(truth, p)


def test_truth_becomes_bools_and_probabilities_numbers() -> None:
    truth, p = two_class_arrays([1, 0, 2], [1, 0, "0.5"])
    assert truth.tolist() == [True, False, True]
    assert p.tolist() == [1.0, 0.0, 0.5]
    assert (truth.dtype, p.dtype) == (np.bool_, np.float64)


def test_the_area_is_the_share_of_pairs_in_the_right_order() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        truth = np.append(rng.random(15) < 0.4, [True, False])
        p = np.round(rng.random(17), 1)  # with ties
        pairs = [float(a > b) + 0.5 * (a == b) for a in p[truth] for b in p[~truth]]
        assert area_under_curve(truth, p) == pytest.approx(np.mean(pairs))


def test_there_is_no_area_with_one_class() -> None:
    assert area_under_curve(np.array([True, True]), np.array([0.1, 0.2])) is None
    assert area_under_curve(np.array([False]), np.array([0.1])) is None
