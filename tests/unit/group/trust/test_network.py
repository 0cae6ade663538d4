"""A trained network that is asked again says what it said before."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from trust_cases import REQUESTS, SHAPE, prediction

from bids_xai.attribution.request import Request
from bids_xai.group.trust.heatmaps import ExplainedSplit, heatmap_of
from bids_xai.group.trust.network import ExplainedNetwork


def test_probabilities_are_those_of_the_opened_scan(network: ExplainedNetwork) -> None:
    opened = network.open("sub-01")
    assert opened.volume.data.shape == SHAPE
    batch = np.stack([opened.volume.data, np.zeros(SHAPE, np.float32)])
    probabilities = network.predict(batch)
    np.testing.assert_allclose(probabilities[0], opened.probabilities, rtol=1e-5)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    with torch.no_grad():
        logits = network.model(torch.zeros(1, 1, *SHAPE))[0].double().numpy()
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(probabilities[1], expected, rtol=1e-6)


def test_a_map_made_again_is_the_one_on_disk(
    network: ExplainedNetwork, explained: ExplainedSplit
) -> None:
    opened = network.open("sub-01")
    for row in explained.predictions:
        again = network.explain(opened, REQUESTS[str(row.method)], row)
        np.testing.assert_allclose(again, network.relevance(row), rtol=1e-6)


def test_the_class_of_the_row_is_explained(network: ExplainedNetwork) -> None:
    assert network.explained_class(prediction(relevance_class="NC")) == "NC"
    assert network.explained_class(prediction(relevance_class="all")) == "AD"
    opened = network.open("sub-01")
    request = Request("lrp-zplus", "lrp-zplus", {"start": "probability"})
    for index, name in enumerate(network.card.classes):
        relevance = network.explain(opened, request, prediction(relevance_class=name))
        assert relevance.sum() == pytest.approx(opened.probabilities[index], rel=1e-4)


def test_a_baseline_has_no_heatmap() -> None:
    with pytest.raises(ValueError, match="B has no heatmap"):
        heatmap_of(prediction(configuration="B", heatmap=None))
