"""A trained network that is asked again says what it said before."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from trust_cases import REQUESTS, SHAPE, prediction

from bids_xai.attribution.request import Request
from bids_xai.group.trust import network as network_module
from bids_xai.group.trust.heatmaps import ExplainedSplit, heatmap_of
from bids_xai.group.trust.network import ExplainedNetwork


def test_probabilities_are_those_of_the_opened_scan(network: ExplainedNetwork) -> None:
    opened = network.open("sub-01")
    assert opened.volume.data.shape == SHAPE
    with torch.no_grad():
        logits = network.model(torch.from_numpy(opened.volume.data)[None, None])[0].double().numpy()
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(opened.probabilities, expected, rtol=1e-6)


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


def test_few_opened_scans_are_kept(
    network: ExplainedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "_opened", {})
    monkeypatch.setattr(network_module, "KEPT_VOXELS", 2 * np.prod(SHAPE))
    first = network.open("sub-01")
    assert network.open("sub-01") is first
    for scan in ("sub-02", "sub-03"):
        network.open(scan)
        assert len(network._opened) == 2
    again = network.open("sub-01")
    assert again is not first
    np.testing.assert_array_equal(again.volume.data, first.volume.data)
    assert not np.array_equal(network.open("sub-03").volume.data, first.volume.data)
