"""Charts of training, classification, clusters and regions."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable

import numpy as np
import pytest

from bids_xai.figures.clusters import Embedding, eigenvalue_panels, embedding_panels
from bids_xai.figures.regions import (
    RegionDensity,
    RegionPanel,
    agreement_matrices,
    region_bars,
    region_violins,
)
from bids_xai.figures.roc import mean_roc, roc_curves
from bids_xai.figures.training import TrainingRun, share_curves, training_curves

EPOCHS = np.arange(1.0, 6.0)


def _run(factor: float = 1.0) -> TrainingRun:
    gap = np.where(EPOCHS == 3, np.nan, factor / EPOCHS)
    return TrainingRun(
        epoch=EPOCHS,
        train_ce=factor / EPOCHS,
        validation_ce=gap,
        validation_balanced_accuracy=1 - 0.5 / EPOCHS,
    )


def _training() -> bytes:
    return training_curves({"A": [_run(), _run(1.2)], "B": [_run()]})


def _share() -> bytes:
    return share_curves({"A": [(EPOCHS, 1 - 0.5 / EPOCHS)], "B": [(EPOCHS[:1], EPOCHS[:1])]})


def _roc() -> bytes:
    steps = (np.array([0.0, 0.0, 0.5, 1.0]), np.array([0.0, 0.5, 0.5, 1.0]))
    return roc_curves({"A": [steps, steps], "B": [steps], "C": []})


def _eigenvalues() -> bytes:
    values = np.array([0.0, 0.1, 0.6])
    return eigenvalue_panels({"A": (values, np.array([0.1, 0.5, np.nan]), 2)})


def _embedding() -> bytes:
    points = np.random.default_rng(0).normal(size=(8, 2))
    one = Embedding(points, ["TN", "FN", "TP", "FP"] * 2, ["0", "1"] * 4)
    return embedding_panels({("A", "T1w"): one, ("B", "template"): one}, ("NC", "AD"))


def _regions() -> bytes:
    panel = RegionDensity(["left", "right"], np.array([0.1, np.nan]), np.array([0.2, 0.0]))
    gains = RegionDensity(["left"], np.array([0.1]), np.array([0.2]), np.array([np.nan]))
    return region_bars({"A": panel, "B": gains}, ("NC", "AD"))


def _violins() -> bytes:
    scans = np.random.default_rng(0).gamma(2, size=(3, 12))
    few = [np.array([]), np.array([0.5]), np.array([0.1, np.nan, 0.3])]
    values = RegionPanel(["a", "b", "c"], few, list(scans), {"A": scans[:, 0], "B": scans[:, 1]})
    return region_violins(values, ("NC", "AD"), title="A", label="relevance")


def _agreement() -> bytes:
    values = np.array([[1.0, 0.3], [0.3, np.nan]])
    return agreement_matrices({"by sum": (["one", "two"], values), "b": (["x"], np.eye(1))})


CHARTS = [_training, _share, _roc, _eigenvalues, _embedding, _regions, _violins, _agreement]


@pytest.mark.parametrize("draw", CHARTS)
def test_a_chart_is_valid_svg_without_date_and_the_same_twice(draw: Callable[[], bytes]) -> None:
    first = draw()
    assert first == draw()
    assert ET.fromstring(first).tag.endswith("svg")
    assert b"<dc:date>" not in first
    assert b"<text" not in first  # letters are drawn, no font is needed


def test_mean_roc_of_one_curve_is_that_curve() -> None:
    fpr, tpr = np.array([0.0, 0.0, 0.5, 1.0]), np.array([0.0, 0.6, 0.8, 1.0])
    mean = mean_roc([(fpr, tpr)])
    grid = np.linspace(0, 1, 201)
    np.testing.assert_allclose(mean[1:], np.interp(grid[1:], [0.0, 0.5, 1.0], [0.6, 0.8, 1.0]))
    assert mean[0] == 0.0


def test_mean_roc_averages_at_equal_false_positive_rates() -> None:
    perfect = (np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0]))
    chance = (np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    mean = mean_roc([perfect, chance])
    np.testing.assert_allclose(mean[1:], 0.5 + 0.5 * np.linspace(0, 1, 201)[1:])
