"""Heatmaps of networks whose layers are made random, one after the other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from trust_cases import CARD, REQUESTS

from bids_xai.attribution.randomization import MODES, randomised, stages, weighted_layers
from bids_xai.core.similarity import compare
from bids_xai.group.trust.heatmaps import ExplainedSplit
from bids_xai.group.trust.network import ExplainedNetwork
from bids_xai.group.trust.randomization import randomized_layers, untrained_like


def test_every_layer_has_a_line_in_both_modes_and_the_network_is_kept(
    network: ExplainedNetwork, explained: ExplainedSplit
) -> None:
    before = {name: tensor.clone() for name, tensor in network.model.state_dict().items()}
    lines = list(randomized_layers(network, explained, REQUESTS, seed=0))
    layers = [layer.name for layer in weighted_layers(network.model)]
    for method in REQUESTS:
        for mode, counts in (
            ("cascading", list(range(1, len(layers) + 1))),
            ("independent", [1] * len(layers)),
        ):
            part = [line for line in lines if (line.method, line.mode) == (method, mode)]
            assert [line.layer for line in part] == layers
            assert [line.layers_random for line in part] == counts
    for name, tensor in network.model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_likeness_is_that_of_the_two_maps(
    network: ExplainedNetwork, explained: ExplainedSplit
) -> None:
    """The last line of the cascade, by hand."""
    lines = randomized_layers(network, explained, REQUESTS, 0, left_out=("lrp-zplus",))
    last = [line for line in lines if line.mode == "cascading"][-1]
    (row,) = (p for p in explained.predictions if p.method == "saliency")
    opened = network.open("sub-01")
    _, layers = stages(network.model, "cascading")[-1]
    with randomised(network.model, untrained_like(CARD, 0), layers):
        relevance = network.explain(opened, REQUESTS["saliency"], row)
    expected = compare(network.relevance(row), relevance, opened.volume.data != 0)
    assert last.ssim == pytest.approx(expected.ssim)
    assert last.spearman == pytest.approx(expected.spearman)
    assert last.spearman_abs == pytest.approx(expected.spearman_abs)
    assert np.isfinite(expected.ssim)


def test_methods_can_be_left_out(network: ExplainedNetwork, explained: ExplainedSplit) -> None:
    lines = list(randomized_layers(network, explained, REQUESTS, 0, left_out=("saliency",)))
    assert {line.method for line in lines} == {"lrp-zplus"}
    assert list(randomized_layers(network, explained, REQUESTS, 0, left_out=tuple(REQUESTS))) == []


def test_the_untrained_network_follows_the_seed() -> None:
    first, same, other = (untrained_like(CARD, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_lines_are_those_of_a_plain_loop(
    at_once: int,
    network: ExplainedNetwork,
    all_explained: ExplainedSplit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every scan, layer and method for itself, nothing kept from one to the next.

    Scans that are explained together round otherwise, and voxels of nearly one value then change
    places in the order: of these few voxels that shows in the sixth digit.
    """
    tolerance = 1e-12 if at_once == 1 else 1e-5
    monkeypatch.setattr(ExplainedNetwork, "scans_at_once", at_once)
    untrained = untrained_like(CARD, 0)
    lines = iter(randomized_layers(network, all_explained, REQUESTS, seed=0))
    for scan, predictions in all_explained.heatmaps.items():
        opened = network.open(scan)
        for mode in MODES:
            for layer, layers in stages(network.model, mode):
                for row in predictions:
                    with randomised(network.model, untrained, layers):
                        relevance = network.explain(opened, REQUESTS[str(row.method)], row)
                    alike = compare(network.relevance(row), relevance, opened.volume.data != 0)
                    line = next(lines)
                    assert (line.scan, line.mode, line.layer) == (scan, mode, layer.name)
                    assert (line.method, line.layers_random) == (row.method, len(layers))
                    values = (line.ssim, line.spearman, line.spearman_abs)
                    expected = (alike.ssim, alike.spearman, alike.spearman_abs)
                    assert values == pytest.approx(expected, rel=0, abs=tolerance)
    assert next(lines, None) is None
