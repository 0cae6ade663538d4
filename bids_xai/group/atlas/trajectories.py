"""What became of each participant's relevance from the first session to the last."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from bids_xai.arrays import Ints
from bids_xai.bids.session_times import SessionTimes, session_times
from bids_xai.group.atlas.groups import mean_of
from bids_xai.group.atlas.parts import Part
from bids_xai.group.atlas.region_values import View
from bids_xai.tables.atlas import Trajectory
from bids_xai.tables.predictions import Prediction

TimesOf = Callable[[str, Sequence[str]], SessionTimes]
"""Participant (``sub-X``) and their sessions (``ses-X``) → order and years."""


def times_by_label(_: str, sessions: Sequence[str]) -> SessionTimes:
    """Order sessions by their labels, where nothing else is known of them."""
    return session_times(None, sessions)


def trajectories(
    view: View, part: Part, predictions: Sequence[Prediction], times_of: TimesOf
) -> Iterator[Trajectory]:
    """Yield the lines of ``trajectories.tsv``: split, participant, region.

    view, predictions : of this part
    """
    densities = view.densities
    for (split, participant), lines in _visits(predictions).items():
        times = times_of(participant, list(lines))
        first, last = times.sessions[0], times.sessions[-1]
        start, end = (mean_of(densities[lines[session]]) for session in (first, last))
        for column, region in enumerate(view.regions):
            yield Trajectory(
                participant_id=participant,
                configuration=part.configuration,
                split=split,
                method=part.method,
                atlas=view.atlas,
                index=region.index,
                name=region.name,
                hemisphere=region.hemisphere or None,
                true_class=predictions[lines[last][0]].true_class,
                first_session=first,
                last_session=last,
                n_sessions=len(lines),
                years=times.between(first, last),
                density_first=float(start[column]),
                density_last=float(end[column]),
                change=float(end[column] - start[column]),
            )


def _visits(predictions: Sequence[Prediction]) -> dict[tuple[int, str], dict[str, Ints]]:
    """Split and participant → session → lines, of those with two sessions or more."""
    visits: dict[tuple[int, str], dict[str, list[int]]] = {}
    for line, prediction in enumerate(predictions):
        if prediction.session_id is not None:
            key = (prediction.split, prediction.participant_id)
            visits.setdefault(key, {}).setdefault(prediction.session_id, []).append(line)
    return {
        key: {session: np.array(lines) for session, lines in sessions.items()}
        for key, sessions in visits.items()
        if len(sessions) > 1
    }
