"""Region by region, the two confident true positives whose heatmaps differ most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bids_xai.arrays import Floats64, Ints
from bids_xai.core.regions.rankings import CONFIDENT, FINGERPRINT_REGIONS, most_different, top
from bids_xai.group.atlas.groups import TRUE_POSITIVE, Groups, mean_of
from bids_xai.group.atlas.parts import Part
from bids_xai.group.atlas.region_values import View
from bids_xai.tables.atlas import Fingerprint
from bids_xai.tables.predictions import Prediction


@dataclass(frozen=True)
class _Individual:
    """One of the two: A or B, its prediction and its densities (n_leading,)."""

    name: str
    prediction: Prediction
    densities: Floats64


def fingerprints(
    view: View, part: Part, predictions: Sequence[Prediction], groups: Groups, positive: str
) -> list[Fingerprint]:
    """Return the regions of both individuals; nothing where there are no two.

    view, predictions, groups : of this part; positive : name of the positive class
    Source: boehle2019, figures 5 and 8.
    """
    probability = np.array([prediction.probability for prediction in predictions])
    candidates = np.flatnonzero(groups.members[TRUE_POSITIVE] & (probability > CONFIDENT))
    leading = top(mean_of(view.densities[groups.members[positive]]), FINGERPRINT_REGIONS)
    densities = view.densities[np.ix_(candidates, leading)]
    participants = [predictions[line].participant_id for line in candidates]
    pair = most_different(densities, participants) if leading.size > 1 else None
    if pair is None:
        return []
    first, second, distance = pair
    individuals = [
        _Individual(name, predictions[candidates[number]], densities[number])
        for name, number in (("A", first), ("B", second))
    ]
    return [
        row
        for individual in individuals
        for row in _rows(individual, view, part, leading, distance, candidates.size)
    ]


def _rows(
    individual: _Individual,
    view: View,
    part: Part,
    leading: Ints,
    distance: float,
    n_candidates: int,
) -> Iterator[Fingerprint]:
    prediction = individual.prediction
    for column, density in zip(leading, individual.densities.tolist(), strict=True):
        region = view.regions[column]
        yield Fingerprint(
            configuration=part.configuration,
            method=part.method,
            atlas=view.atlas,
            merged=view.merged,
            individual=individual.name,
            participant_id=prediction.participant_id,
            session_id=prediction.session_id,
            split=prediction.split,
            probability=prediction.probability,
            cosine_distance=distance,
            n_candidates=n_candidates,
            index=region.index,
            name=region.name,
            density=density,
        )
