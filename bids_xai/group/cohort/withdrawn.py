"""Sessions that are among the derivatives, but no longer in the raw dataset."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bids_xai.group.context import LOG

WITHDRAWN = "withdrawn: the session is no longer in the raw dataset"
"""The reason against their scans."""


def withdrawn_sessions(
    bids_dir: Path, sessions: Iterable[tuple[str, str]], *, own: bool
) -> frozenset[tuple[str, str]]:
    """Return those of the sessions that the raw dataset has no image of.

    sessions : ``sub-X`` and ``ses-X``, the latter empty where there are no sessions
    own : whether the derivatives are of this app, which keeps the names of sessions; of others the
        session counts where the raw participant has any
    None where it has no image of any of them, as a folder that only holds tables has not: then
    it does not say who withdrew.
    """
    asked = frozenset(sessions)
    there = {
        (participant, session)
        for participant, session in asked
        if _holds_images(_raw_folder(bids_dir / participant, session, own=own))
    }
    if asked and not there:
        LOG.info("who withdrew is not known: %s has no image of any of the sessions", bids_dir)
    return asked - there if there else frozenset()


def _raw_folder(participant: Path, session: str, *, own: bool) -> Path:
    counts = own or any(path.is_dir() for path in participant.glob("ses-*"))
    return participant / session if counts else participant


def _holds_images(folder: Path) -> bool:
    """Whether there is an image, or a link to one that is not here, at any depth."""
    return any(".nii" in path.suffixes for path in folder.rglob("*"))
