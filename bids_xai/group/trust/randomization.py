"""The randomisation check: heatmaps of networks whose layers have lost what they learnt."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from torch import nn

from bids_xai.arrays import Floats32
from bids_xai.attribution.randomization import MODES, randomised, stages
from bids_xai.attribution.request import Request
from bids_xai.core.similarity import compare
from bids_xai.group.trust.heatmaps import ExplainedSplit, defined, identity, request_of
from bids_xai.group.trust.network import ExplainedNetwork
from bids_xai.models import build
from bids_xai.models.card import ModelCard
from bids_xai.runtime.progress import Progress
from bids_xai.tables.trust import RandomizedLayer

_SEED_STEP = 7919
"""Keeps the untrained network away from the seeds that trainings start from."""


def randomized_layers(
    network: ExplainedNetwork,
    split: ExplainedSplit,
    requests: Mapping[str, Request],
    seed: int,
    left_out: Collection[str] = (),
) -> Iterator[RandomizedLayer]:
    """Yield how alike the maps of all scans stay while layers are made random.

    requests : by their name, the method of a prediction; seed : of the untrained network
    left_out : methods (keys of ``METHODS``) that are not checked
    """
    untrained = untrained_like(network.card, seed).to(network.device)
    todo = [(mode, *stage) for mode in MODES for stage in stages(network.model, mode)]
    checked = {
        scan: [p for p in predictions if request_of(p, requests).method not in left_out]
        for scan, predictions in split.heatmaps.items()
    }
    progress = Progress("heatmaps of random networks", len(todo) * sum(map(len, checked.values())))
    for scan, predictions in checked.items():
        if not predictions:
            continue
        opened = network.open(scan)
        originals = [network.relevance(prediction) for prediction in predictions]
        for mode, layer, layers in todo:
            maps: list[Floats32] = []
            with randomised(network.model, untrained, layers):
                for prediction in predictions:
                    request = request_of(prediction, requests)
                    maps.append(network.explain(opened, request, prediction))
                    progress.step()
            for prediction, original, relevance in zip(predictions, originals, maps, strict=True):
                similarity = compare(original, relevance, opened.volume.data != 0)
                yield RandomizedLayer(
                    **identity(prediction),
                    mode=mode,
                    layer=layer.name,
                    layers_random=len(layers),
                    ssim=defined(similarity.ssim),
                    spearman=defined(similarity.spearman),
                    spearman_abs=defined(similarity.spearman_abs),
                )


def untrained_like(card: ModelCard, seed: int) -> nn.Module:
    """Return a network of the same kind that has learnt nothing."""
    return build(
        card.architecture,
        card.input_shape,
        len(card.classes),
        channels=card.channels,
        seed=_SEED_STEP + seed,
        **card.options,
    )
