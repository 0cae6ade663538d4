"""Tables of people that come with the raw dataset: participants.tsv and sessions.tsv."""

from __future__ import annotations

from pathlib import Path

from bids_xai.bids.session_times import sessions_file
from bids_xai.bids.user_tables import read_user_table
from bids_xai.errors import NoInputError

People = dict[str, dict[str, str]]


def read_participants(bids_dir: Path, columns: tuple[str, ...]) -> People:
    """Return ``sub-X`` → its row of participants.tsv.

    columns : those that a study needs
    Raises :class:`NoInputError` without the file, :class:`BadDataError` without a column, for a
    table that cannot be taken as it is, or a participant that is listed twice.
    """
    path = bids_dir / "participants.tsv"
    if not path.is_file():
        raise NoInputError(
            "participants.tsv is missing: the group level takes the classes from it",
            file=path,
            fix=f"add it with the columns {', '.join(('participant_id', *columns))}",
        )
    table = read_user_table(path, ("participant_id", *columns))
    return table.by_key("participant_id", "sub-")


def read_sessions(bids_dir: Path, participant: str, columns: tuple[str, ...]) -> People:
    """Return ``ses-X`` → its row of a participant's sessions.tsv; nothing where there is none.

    participant : ``sub-X``
    Raises as :func:`read_participants` does.
    """
    path = sessions_file(bids_dir, participant)
    if not path.is_file():
        return {}
    return read_user_table(path, ("session_id", *columns)).by_key("session_id", "ses-")
