"""The two confident true positives that differ most, against a double loop."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from atlas_cases import prediction, view
from scipy.spatial.distance import cosine

from bids_xai.core.regions.rankings import FINGERPRINT_REGIONS
from bids_xai.group.atlas.fingerprints import fingerprints
from bids_xai.group.atlas.groups import Groups
from bids_xai.group.atlas.parts import Part
from bids_xai.studies.tables import Target
from bids_xai.tables.atlas import Fingerprint
from bids_xai.tables.predictions import Prediction

N_REGIONS = FINGERPRINT_REGIONS + 5


def prints_of(sums: np.ndarray, rows: list[Prediction]) -> list[Fingerprint]:
    groups = Groups.of(rows, Target("diagnosis", "NC", "AD"))
    return fingerprints(view(sums.tolist()), Part("A", "m", 0, len(rows)), rows, groups, "AD")


def test_the_pair_and_its_regions_against_loops() -> None:
    sums = np.random.default_rng(0).random((7, N_REGIONS))
    rows = [
        prediction(participant_id=f"sub-{n}", split=n, session_id="ses-2", probability=0.91)
        for n in range(5)
    ]
    rows.append(prediction(participant_id="sub-5", probability=0.9))  # not above
    rows.append(prediction(participant_id="sub-6", probability=0.99, outcome="FN"))
    table = prints_of(sums, rows)
    leading = np.argsort(-sums.mean(axis=0))[:FINGERPRINT_REGIONS]
    distances = {
        (a, b): cosine(sums[a, leading], sums[b, leading]) for a, b in combinations(range(5), 2)
    }
    a, b = max(distances, key=lambda pair: distances[pair])
    assert len(table) == 2 * FINGERPRINT_REGIONS
    assert {(row.individual, row.participant_id) for row in table} == {
        ("A", f"sub-{a}"),
        ("B", f"sub-{b}"),
    }
    assert [row.index for row in table if row.individual == "A"] == (300 + leading).tolist()
    densities = [row.density for row in table if row.individual == "B"]
    assert densities == pytest.approx(sums[b, leading] / 4)
    first = table[0]
    assert first.cosine_distance == pytest.approx(distances[a, b])
    assert (first.n_candidates, first.split, first.session_id) == (5, a, "ses-2")
    assert first.probability == 0.91


def test_one_candidate_or_one_region_makes_no_pair() -> None:
    rows = [prediction(participant_id=f"sub-{n}") for n in range(2)]
    assert prints_of(np.array([[1.0], [2.0]]), rows) == []
    alone = [rows[0], prediction(participant_id="sub-1", probability=0.6)]
    assert prints_of(np.array([[1.0, 2.0], [2.0, 1.0]]), alone) == []
    assert len(prints_of(np.array([[1.0, 2.0], [2.0, 1.0]]), rows)) == 4
