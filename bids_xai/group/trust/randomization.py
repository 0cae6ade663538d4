"""The randomisation check: heatmaps of networks whose layers have lost what they learnt."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain

from torch import nn

from bids_xai.attribution.randomization import MODES, WeightedLayer, randomised, stages
from bids_xai.attribution.request import Request
from bids_xai.core.similarity import Reference, Similarity
from bids_xai.group.trust.heatmaps import ExplainedSplit, defined, identity, request_of
from bids_xai.group.trust.network import ExplainedNetwork
from bids_xai.models import build
from bids_xai.models.card import ModelCard
from bids_xai.runtime.progress import Progress
from bids_xai.stages.explain import OpenScan
from bids_xai.tables.predictions import Prediction
from bids_xai.tables.trust import RandomizedLayer

Likeness = tuple[str, str | None, tuple[WeightedLayer, ...]]
"""A scan, a method, and the layers that are random."""

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
    checked = {
        scan: [p for p in predictions if request_of(p, requests).method not in left_out]
        for scan, predictions in split.heatmaps.items()
    }
    todo = [(scan, predictions) for scan, predictions in checked.items() if predictions]
    check = _Check(network, requests, seed, sum(map(len, checked.values())))
    for first in range(0, len(todo), network.scans_at_once):
        yield from check.lines(dict(todo[first : first + network.scans_at_once]))


class _Check:
    """One network whose layers are made random; methods and scans are taken in turn.

    n_maps : that are compared, for the progress
    """

    def __init__(
        self, network: ExplainedNetwork, requests: Mapping[str, Request], seed: int, n_maps: int
    ) -> None:
        self._network, self._requests = network, requests
        self._untrained = untrained_like(network.card, seed).to(network.device)
        self._stages = [(mode, *stage) for mode in MODES for stage in stages(network.model, mode)]
        # the first of the cascade is also the first of the independent ones
        self._layers = {tuple(layers): layers for _, _, layers in self._stages}
        self._progress = Progress("heatmaps of random networks", len(self._layers) * n_maps)

    def lines(self, heatmaps: Mapping[str, Sequence[Prediction]]) -> Iterator[RandomizedLayer]:
        """Yield the lines of some scans, which are worked on together; heatmaps : by scan."""
        opened = {scan: self._network.open(scan) for scan in heatmaps}
        together: dict[tuple[str | None, str], list[Prediction]] = {}
        for prediction in chain.from_iterable(heatmaps.values()):
            key = prediction.method, self._network.explained_class(prediction)
            together.setdefault(key, []).append(prediction)
        alike: dict[Likeness, Similarity] = {}
        for explained_together in together.values():
            alike |= self._similarities(explained_together, opened)
        for predictions in heatmaps.values():
            for mode, layer, layers in self._stages:
                for prediction in predictions:
                    similarity = alike[prediction.scan, prediction.method, tuple(layers)]
                    yield RandomizedLayer(
                        **identity(prediction),
                        mode=mode,
                        layer=layer.name,
                        layers_random=len(layers),
                        ssim=defined(similarity.ssim),
                        spearman=defined(similarity.spearman),
                        spearman_abs=defined(similarity.spearman_abs),
                    )

    def _similarities(
        self, predictions: Sequence[Prediction], opened: Mapping[str, OpenScan]
    ) -> dict[Likeness, Similarity]:
        """How alike maps stay; predictions : of several scans, by one method and of one class."""
        scans = [opened[prediction.scan] for prediction in predictions]
        references = [
            Reference(self._network.relevance(prediction), scan.volume.data != 0)
            for prediction, scan in zip(predictions, scans, strict=True)
        ]
        explain = self._network.explain_again(
            scans, request_of(predictions[0], self._requests), predictions
        )
        alike: dict[Likeness, Similarity] = {}
        for key, layers in self._layers.items():
            lowest = min(position for layer in layers for position in layer.positions)
            with randomised(self._network.model, self._untrained, layers):
                maps = explain(lowest)
            for prediction, reference, relevance in zip(predictions, references, maps, strict=True):
                alike[prediction.scan, prediction.method, key] = reference.compare(relevance)
                self._progress.step()
        return alike


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
