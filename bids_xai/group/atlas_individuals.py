"""Individuals: the two confident true positives whose heatmaps differ most, region by region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bids_xai.core.region_rankings import most_different, top
from bids_xai.group.atlas_gain import Groups, mean_of
from bids_xai.group.atlas_values import Part, Row, View

CONFIDENT = 0.9
REGIONS = 25

FINGERPRINT_COLUMNS = {
    "configuration": "Configuration of the study",
    "method": "Attribution method",
    "atlas": "Atlas",
    "merged": "Whether left and right are joined",
    "individual": "A or B",
    "participant_id": "Participant",
    "session_id": "Session, n/a where the dataset has none",
    "split": "Number of the split, from 0",
    "probability": "Probability of the positive class",
    "cosine_distance": "1 - cosine of the densities of A and B over these regions",
    "n_candidates": f"True positives with a probability above {CONFIDENT:g} to choose from",
    "index": "Label value of the region; of joined sides the lower one",
    "name": f"Region, of the {REGIONS} with the highest mean density in the positive class",
    "density": "Density of the region in this scan",
}


def fingerprints(
    view: View, part: Part, rows: Sequence[Row], groups: Groups, positive: str
) -> list[dict[str, Any]]:
    """Return the regions of both individuals; nothing where there are no two.

    view, rows, groups : of this part; positive : name of the positive class
    Source: boehle2019, figures 5 and 8.
    """
    probability = np.array([float(row["probability"]) for row in rows])
    members = groups.members["TP"] & (probability > CONFIDENT)
    candidates = np.flatnonzero(members)
    leading = top(mean_of(view.densities[groups.members[positive]]), REGIONS)
    densities = view.densities[np.ix_(candidates, leading)]
    people = [rows[line]["participant_id"] for line in candidates]
    found = most_different(densities, people) if leading.size > 1 else None
    if found is None:
        return []
    first, second, distance = found
    about = {
        "configuration": part.configuration, "method": part.method, "atlas": view.atlas,
        "merged": view.merged, "cosine_distance": distance, "n_candidates": candidates.size,
    }  # fmt: skip
    lines = []
    for individual, chosen in (("A", first), ("B", second)):
        row = rows[candidates[chosen]]
        who = {k: row[k] for k in ("participant_id", "session_id", "split", "probability")}
        for column, place in enumerate(leading):
            region = view.regions[place]
            lines.append({
                **about, **who, "individual": individual, "index": region.index,
                "name": region.name, "density": densities[chosen, column],
            })  # fmt: skip
    return lines
