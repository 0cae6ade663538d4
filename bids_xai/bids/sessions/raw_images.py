"""What is looked at of raw images before they are worked with: content, kind of number, header."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bids_xai.bids.derivatives import sidecar_of
from bids_xai.bids.images import header_notes
from bids_xai.bids.records import Session
from bids_xai.errors import BadDataError, NoInputError

_MAGNITUDE = {"M", "MAGNITUDE"}
_PARTS = {"P": "phase", "PHASE": "phase", "R": "real", "REAL": "real"} | {
    "I": "imaginary",
    "IMAGINARY": "imaginary",
    "PHASE MAP": "phase",
}
_ENTITY = {"phase": "phase", "real": "real", "imaginary": "imag"}
_RADIANS = {"rad", "radian", "radians"}


def check_present(file: Any) -> None:
    """Raise :class:`NoInputError` where an image of pybids or the sidecar beside it is a link to
    nothing, as in a dataset of DataLad whose content was not fetched."""
    image = Path(file.path)
    for path in (image, sidecar_of(image)):
        if path.is_symlink() and not path.exists():
            raise NoInputError(
                "the file is a link to content that is not here",
                file=path,
                fix=f"fetch it: datalad get {path.name}, or git annex get",
            )


def check_magnitude(file: Any) -> None:
    """Raise :class:`BadDataError` for an image of pybids without ``part-`` whose sidecar says that
    it is phase, real or imaginary (``ImageType``, or radians in ``Units``)."""
    if file.entities.get("part") not in (None, ""):
        return
    part, reason = _part(file.get_metadata())
    if part:
        raise BadDataError(
            f"the image is no magnitude: {reason} says {part}, its name does not",
            file=file.path,
            fix=f"name it part-{_ENTITY[part]} (such images are not read), or choose others by "
            "--bids-filter-file",
        )


def _part(metadata: Any) -> tuple[str, str]:
    """What the sidecar says the image is, and which key; empty for a magnitude."""
    kind = metadata.get("ImageType")
    words = {str(word).upper() for word in kind} if isinstance(kind, (list, tuple)) else set()
    long = {word for word in words if len(word) > 1}
    counted = long if words & _MAGNITUDE else words
    parts = sorted({_PARTS[word] for word in counted if word in _PARTS})
    if parts:
        return parts[0], "ImageType"
    if str(metadata.get("Units", "")).lower() in _RADIANS:
        return "phase", "Units"
    return "", ""


def with_header_notes(session: Session, assume_orientation: bool) -> Session:
    """Return the session with what is to be said of the headers of its images among its notes.

    Raises :class:`BadDataError` for a header that cannot be worked with.
    """
    by_note: dict[str, list[Path]] = {}
    for path in session.images:
        for note in header_notes(path, assume_orientation=assume_orientation):
            by_note.setdefault(note, []).append(path)
    notes = [f"{_names(paths)}: {note}" for note, paths in by_note.items()]
    return replace(session, notes=(*session.notes, *notes))


def _names(paths: Sequence[Path]) -> str:
    others = len(paths) - 1
    return paths[0].name + (f" and {others} more" if others else "")
