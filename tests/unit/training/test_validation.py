"""Scores of the validation scans."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from training_cases import Tiny, make_recipe, make_scans

from bids_xai.training.processes import Processes
from bids_xai.training.signals import StopRequest
from bids_xai.training.validation import balanced_accuracy, is_constant, validate


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_balanced_accuracy_is_the_mean_recall(n_classes: int) -> None:
    rng = np.random.default_rng(n_classes)
    truth = [*range(n_classes), *rng.integers(0, n_classes, size=60).tolist()]
    p = rng.dirichlet(np.ones(n_classes), size=len(truth))
    expected = balanced_accuracy_score(truth, p.argmax(axis=1))
    assert balanced_accuracy(truth, p) == pytest.approx(expected)


def test_balanced_accuracy_by_hand() -> None:
    p = [[0.9, 0.1], [0.5, 0.5], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]]
    assert balanced_accuracy([0, 0, 0, 1, 1], p) == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert math.isnan(balanced_accuracy([0, 0, 0, 0, 0], p))


def test_one_answer_to_everything_is_noticed() -> None:
    same = np.tile([0.3, 0.7], (4, 1))
    assert is_constant(same)
    assert is_constant(same + np.eye(4, 2) * 5e-7)
    assert not is_constant(same + np.eye(4, 2) * 5e-6)
    assert not is_constant(same[:1])  # one scan shows nothing


def test_columns_are_means_over_scans_whatever_the_batch() -> None:
    data, model = make_scans(7, classes=3), Tiny(3).eval()
    validations = [
        validate(model, data, make_recipe(batch_size=size), 1, None, Processes(), StopRequest())
        for size in (1, 3, 7)
    ]
    logits = model(torch.stack([volume for volume, _, _ in data]))
    truth = torch.tensor([label for _, _, label in data])
    expected = torch.nn.functional.cross_entropy(logits, truth).item()
    for validation in validations:
        assert validation is not None
        assert (
            validation.validation_loss
            == validation.validation_ce
            == pytest.approx(expected, rel=1e-5)
        )
        assert validation.validation_balanced_accuracy == pytest.approx(
            balanced_accuracy_score(truth, logits.argmax(dim=1))
        )
        assert math.isnan(validation.relevance_sum)
