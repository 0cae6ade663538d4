"""What a heatmap should sum to, and what it does."""

from __future__ import annotations

import pytest
from trust_cases import REQUESTS, prediction

from bids_xai.attribution.request import Request
from bids_xai.group.trust.conservation import expected_sum, layer_sums, map_sums, propagates
from bids_xai.group.trust.heatmaps import ExplainedSplit, explained_splits
from bids_xai.group.trust.network import ExplainedNetwork
from bids_xai.studies.tables import Target

TWO = Target("diagnosis", "NC", "AD")
THREE = Target("diagnosis", classes=("NC", "MCI", "AD"))
ZPLUS = Request("lrp-zplus", "lrp-zplus")


def from_start(start: str) -> Request:
    return Request("lrp-zplus", "lrp-zplus", {"start": start})


def test_methods_that_hand_relevance_down_are_told_from_the_others() -> None:
    assert propagates(ZPLUS)
    assert not propagates(Request("saliency", "saliency"))


@pytest.mark.parametrize(
    ("name", "start", "expected"),
    [
        ("all", "softmax", 1.0),
        ("AD", "probability", 0.7),
        ("NC", "probability", 0.3),
        ("AD", "logit", None),
    ],
)
def test_a_map_of_two_classes_sums_to_its_start(
    name: str, start: str, expected: float | None
) -> None:
    row = prediction(relevance_class=name, probability=0.7, class_probabilities={})
    result = expected_sum(row, from_start(start), TWO)
    assert result == (None if expected is None else pytest.approx(expected))


def test_of_several_classes_each_has_its_probability() -> None:
    row = prediction(
        relevance_class="MCI",
        probability=0.1,
        class_probabilities={"NC": 0.6, "MCI": 0.3, "AD": 0.1},
    )
    assert expected_sum(row, from_start("probability"), THREE) == 0.3


def test_gradients_have_no_expected_sum() -> None:
    row = prediction(method="saliency")
    assert expected_sum(row, Request("saliency", "saliency"), TWO) is None


def test_the_share_is_that_of_the_start() -> None:
    requests = {
        "lrp-zplus": from_start("probability"),
        "whole": from_start("softmax"),
        "saliency": Request("saliency", "saliency"),
    }
    rows = [
        prediction(relevance_class="AD", relevance_sum=0.15, probability=0.6),
        prediction(method="whole", relevance_sum=0.9),
        prediction(method="saliency", relevance_sum=12.0),
        prediction("sub-02", relevance_class="AD", relevance_sum=0.1, probability=1e-9),
        prediction("sub-03", relevance_class="AD", relevance_sum=None, probability=0.5),
    ]
    (split,) = explained_splits(rows)
    lines = list(map_sums(split, requests, TWO))
    assert [line.layer for line in lines] == ["map"] * 5
    assert [line.relevance_sum for line in lines] == [0.15, 0.9, 12.0, 0.1, None]
    assert [line.start for line in lines] == [0.6, 1.0, None, 1e-9, 0.5]
    assert lines[0].share == pytest.approx(0.25)
    assert [line.share for line in lines[1:]] == [0.9, None, None, None]


def test_sums_are_followed_from_the_output_to_the_input(
    network: ExplainedNetwork, explained: ExplainedSplit
) -> None:
    """z+ starts at 1 and keeps it; gradients are not followed."""
    lines = list(layer_sums(network, explained, REQUESTS))
    assert {line.method for line in lines} == {"lrp-zplus"}
    assert lines[0].layer == "output"
    assert lines[-1].layer == "input of 0 Conv3d"
    (row, _) = explained.predictions
    assert lines[-1].relevance_sum == pytest.approx(float(network.relevance(row).sum()), rel=1e-4)
    for line in lines:
        assert line.start == lines[0].relevance_sum
        assert line.share == pytest.approx(line.relevance_sum / line.start)
