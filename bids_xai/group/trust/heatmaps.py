"""The heatmaps that the checks look at: those of one trained network, and a sample of its scans."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bids_xai.attribution.request import WHOLE, Request
from bids_xai.tables.predictions import Prediction


@dataclass(frozen=True)
class ExplainedSplit:
    """What one trained network explained.

    heatmaps : name of a test scan → its predictions with a heatmap, one a method
    """

    configuration: str
    split: int
    heatmaps: Mapping[str, tuple[Prediction, ...]]

    def of(self, scans: Iterable[str]) -> ExplainedSplit:
        """Return the same with some of the scans, in their order."""
        return replace(self, heatmaps={scan: self.heatmaps[scan] for scan in scans})

    @property
    def scans(self) -> list[str]:
        """The names of the scans."""
        return list(self.heatmaps)

    @property
    def predictions(self) -> list[Prediction]:
        """The predictions of all scans and methods, scan by scan."""
        return [prediction for maps in self.heatmaps.values() for prediction in maps]


def explained_splits(predictions: Iterable[Prediction]) -> list[ExplainedSplit]:
    """Return one a configuration and split; ``predictions`` : those that have a heatmap."""
    networks: dict[tuple[str, int], dict[str, list[Prediction]]] = {}
    for prediction in predictions:
        network = networks.setdefault((prediction.configuration, prediction.split), {})
        network.setdefault(prediction.scan, []).append(prediction)
    return [
        ExplainedSplit(*key, {scan: tuple(maps) for scan, maps in scans.items()})
        for key, scans in networks.items()
    ]


def explains_its_prediction(prediction: Prediction) -> bool:
    """Tell whether a heatmap is about the predicted class, or about the whole softmax vector."""
    return prediction.relevance_class in (WHOLE, prediction.predicted_class)


def sampled(
    splits: Iterable[ExplainedSplit],
    n: int,
    seed: int,
    usable: Callable[[Prediction], bool] = lambda prediction: True,
) -> list[ExplainedSplit]:
    """Return at most ``n`` scans over the splits of one configuration, drawn from the seed.

    Scans come first that are ``usable`` for most methods, never those for none; among equals the
    true classes take turns. Splits without a scan in the sample are left out.
    """
    splits = list(splits)
    scans = [(network, scan) for network in splits for scan in network.heatmaps]
    turns: dict[tuple[int, str], int] = defaultdict(int)
    ranked = []
    for index in np.random.default_rng(seed).permutation(len(scans)):
        network, scan = scans[index]
        maps = network.heatmaps[scan]
        n_usable = sum(map(usable, maps))
        group = n_usable, maps[0].true_class
        if n_usable:
            ranked.append(((-n_usable, turns[group]), network.split, scan))
        turns[group] += 1
    sample = sorted(ranked, key=lambda entry: entry[0])[:n]
    parts = [network.of(scan for _, k, scan in sample if k == network.split) for network in splits]
    return [part for part in parts if part.heatmaps]


def identity(prediction: Prediction) -> dict[str, Any]:
    """Return the fields that tell which heatmap a line of a check is about."""
    return {
        "configuration": prediction.configuration,
        "split": prediction.split,
        "method": prediction.method,
        "participant_id": prediction.participant_id,
        "session_id": prediction.session_id,
        "scan": prediction.scan,
    }


def request_of(prediction: Prediction, requests: Mapping[str, Request]) -> Request:
    """Return how a heatmap was made; ``requests`` : by their name, the method of a prediction."""
    return requests[str(prediction.method)]


def defined(value: float) -> float | None:
    """Return a measure as tables hold it: ``None`` where it is undefined."""
    return float(value) if np.isfinite(value) else None


def heatmap_of(prediction: Prediction) -> Path:
    """Return the file of a heatmap, relative to the study's folder.

    Raises ValueError for a prediction of a baseline, which has none.
    """
    if prediction.heatmap is None:
        raise ValueError(f"{prediction.configuration} has no heatmap")
    return prediction.heatmap
