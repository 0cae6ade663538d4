"""Sums of relevance: what a heatmap should sum to, what it does, and where the rest is lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

from bids_xai.attribution.lrp import conservation, recipe_of
from bids_xai.attribution.request import Request
from bids_xai.errors import UsageError
from bids_xai.group.trust.heatmaps import ExplainedSplit, identity, request_of
from bids_xai.group.trust.network import ExplainedNetwork
from bids_xai.studies.tables import Target
from bids_xai.tables.predictions import Prediction
from bids_xai.tables.trust import MAP, LayerSum

_NEARLY_ZERO = 1e-6


def map_sums(
    split: ExplainedSplit, requests: Mapping[str, Request], target: Target
) -> Iterator[LayerSum]:
    """Yield the sum of every heatmap, as the step ``explain`` took it, and what it started from.

    requests : by their name, the method of a prediction
    """
    for prediction in split.predictions:
        start = expected_sum(prediction, request_of(prediction, requests), target)
        yield _layer_sum(prediction, MAP, prediction.relevance_sum, start)


def layer_sums(
    network: ExplainedNetwork, split: ExplainedSplit, requests: Mapping[str, Request]
) -> Iterator[LayerSum]:
    """Yield the sums on the way through the network, from the output down.

    Methods that do not hand relevance down layer by layer are left out.
    """
    for scan, predictions in split.heatmaps.items():
        volume = network.open(scan).volume.data
        batch = torch.from_numpy(volume)[None, None].to(network.device)
        for prediction in predictions:
            request = request_of(prediction, requests)
            if not propagates(request):
                continue
            index = network.card.classes.index(network.explained_class(prediction))
            layers = conservation(request.method, network.model, batch, index, **request.options)
            start = float(layers[0].sums[0])
            for layer, sums in layers:
                yield _layer_sum(prediction, layer, float(sums[0]), start)


def propagates(request: Request) -> bool:
    """Tell whether a method hands relevance down layer by layer, so that sums can be followed."""
    try:
        return recipe_of(request.method, **request.options).engine == "own"
    except UsageError:
        return False


def expected_sum(prediction: Prediction, request: Request, target: Target) -> float | None:
    """Return what the relevance of a heatmap starts from, ``None`` where the tables do not tell.

    Only methods that hand relevance down have an expected sum: 1 where they start at the softmax
    vector, the probability of the explained class where they start there.
    """
    if not propagates(request) or request.start == "logit":
        return None
    if request.start == "softmax":
        return 1.0
    name = prediction.relevance_class
    if len(target.names) > 2:
        return prediction.class_probabilities[name or ""]
    positive = prediction.probability
    return positive if name == target.positive_name else 1 - positive


def _layer_sum(
    prediction: Prediction, layer: str, total: float | None, start: float | None
) -> LayerSum:
    comparable = total is not None and start is not None and abs(start) > _NEARLY_ZERO
    return LayerSum(
        **identity(prediction),
        layer=layer,
        relevance_sum=total,
        start=start,
        share=total / start if comparable and total is not None and start else None,
    )
