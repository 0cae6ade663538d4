"""Individuals, region by region: the two confident true positives whose heatmaps differ most, and
what became of each participant's relevance from the first session to the last."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from bids_xai.arrays import Ints
from bids_xai.bids.session_times import SessionTimes
from bids_xai.core.regions.rankings import most_different, top
from bids_xai.group.atlas.groups import Groups, mean_of
from bids_xai.group.atlas.region_values import Part, Row, View

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
TRAJECTORY_COLUMNS = {
    "participant_id": "Participant with test scans of two or more sessions",
    "configuration": "Configuration of the study",
    "split": "Number of the split, from 0: both ends are from its one network",
    "method": "Attribution method",
    "atlas": "Atlas",
    "index": "Label value of the region",
    "name": "Name of the region",
    "hemisphere": "L, R, n/a where the name tells none",
    "true_class": "Class of the participant in the last session",
    "first_session": "First session by age or date, else by its label",
    "last_session": "Last one",
    "n_sessions": "Number of sessions",
    "years": "Years between both, from age or acq_time of sessions.tsv; n/a where not known of all "
    "sessions",
    "density_first": "Density of the region in the first session, mean of its scans",
    "density_last": "In the last one",
    "change": "density_last - density_first",
}

TimesOf = Callable[[str, Sequence[str]], SessionTimes]


def trajectories(
    view: View, part: Part, rows: Sequence[Row], times_of: TimesOf
) -> Iterator[dict[str, Any]]:
    """Yield the lines of ``trajectories.tsv``: split, participant, region.

    view, rows : of this part; times_of : participant and their sessions → order and years
    """
    densities = view.densities
    for (split, person), lines in _visits(rows).items():
        times = times_of(person, list(lines))
        first, last = times.sessions[0], times.sessions[-1]
        start, end = (mean_of(densities[lines[session]]) for session in (first, last))
        about = {
            "participant_id": person,
            "configuration": part.configuration,
            "split": split,
            "method": part.method,
            "atlas": view.atlas,
            "first_session": first,
            "last_session": last,
            "n_sessions": len(lines),
            "years": times.between(first, last),
            "true_class": rows[lines[last][0]]["true_class"],
        }
        for place, region in enumerate(view.regions):
            yield {
                **about,
                "index": region.index,
                "name": region.name,
                "hemisphere": region.hemisphere,
                "density_first": start[place],
                "density_last": end[place],
                "change": end[place] - start[place],
            }


def _visits(rows: Sequence[Row]) -> dict[tuple[str, str], dict[str, Ints]]:
    """Split and participant → session → lines, of those with two sessions or more."""
    found: dict[tuple[str, str], dict[str, list[int]]] = {}
    for line, row in enumerate(rows):
        if row["session_id"] != "n/a":
            mine = found.setdefault((row["split"], row["participant_id"]), {})
            mine.setdefault(row["session_id"], []).append(line)
    return {
        key: {session: np.array(lines) for session, lines in mine.items()}
        for key, mine in found.items()
        if len(mine) > 1
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
        "configuration": part.configuration,
        "method": part.method,
        "atlas": view.atlas,
        "merged": view.merged,
        "cosine_distance": distance,
        "n_candidates": candidates.size,
    }
    lines = []
    for individual, chosen in (("A", first), ("B", second)):
        row = rows[candidates[chosen]]
        who = {k: row[k] for k in ("participant_id", "session_id", "split", "probability")}
        for column, place in enumerate(leading):
            region = view.regions[place]
            lines.append(
                {
                    **about,
                    **who,
                    "individual": individual,
                    "index": region.index,
                    "name": region.name,
                    "density": densities[chosen, column],
                }
            )
    return lines
