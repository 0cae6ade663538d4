"""Which sessions a participant has, kept so that the dataset is not indexed while nothing changed.

To index a dataset with pybids takes longer than to see that its files are what they were, as the
stamps of sessions do: by name, size and time of change. The record lies in
``logs/sub-X/sessions.json``, and beside the index where one is kept, so that neither a dry run nor
another output folder asks pybids again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bids_xai.bids.derivatives import DerivativeFolder
from bids_xai.bids.files import write_json
from bids_xai.bids.records import EchoSeries, PrecomputedMap, Session, SourceImage
from bids_xai.bids.stamps import code_state, file_states, read_stamp
from bids_xai.errors import CannotCreateError

_BESIDE_INDEX = "bids_xai-sessions-"
_INHERITED = (".json", ".nii", ".nii.gz")
"""Endings of files beside the folders of participants that pybids may count to one of them."""


class SessionRecords:
    """The kept sessions of participants, each with a digest of what they follow from.

    That is every file of the participant in the dataset and in the derivatives, the sidecars above
    it, what was asked, and the code and the pybids that answer.

    question : what is asked besides files, as JSON can hold it
    index_dir : where the index of the dataset is kept, if it is
    """

    def __init__(
        self,
        output_dir: Path,
        bids_dir: Path,
        derivatives: Sequence[DerivativeFolder],
        question: Mapping[str, Any],
        index_dir: Path | None = None,
    ) -> None:
        self._output_dir, self._root = output_dir, bids_dir.absolute()
        self._derivatives = {folder.name: folder.root.absolute() for folder in derivatives}
        above = [self._root / f.name for f in bids_dir.iterdir() if f.name.endswith(_INHERITED)]
        self._common = {
            "question": question,
            "root": str(self._root),
            "above": file_states(self._root, *above),
            "code": code_state("pybids"),
        }
        self._digests: dict[str, str] = {}
        asked = f"{self._root}\n{json.dumps([question, [*self._derivatives]], sort_keys=True)}"
        name = f"{_BESIDE_INDEX}{hashlib.sha256(asked.encode()).hexdigest()[:16]}"
        self._beside_index = None if index_dir is None else index_dir / name

    def read(self, participant: str) -> list[Session] | None:
        """Return what is kept; ``None`` where something changed or the record is damaged."""
        digest = self._digests[participant] = self._digest(participant)
        for file in (self.file(participant), self.file_beside_index(participant)):
            content = {} if file is None else read_stamp(file)
            if content.get("digest") == digest:
                with contextlib.suppress(KeyError, TypeError, AttributeError):
                    return [session_of(plain) for plain in content["sessions"]]
        return None

    def write(self, participant: str, sessions: Sequence[Session]) -> None:
        """Keep what pybids said after :meth:`read`, unless JSON cannot hold it as it is.

        A file that changed since then makes it stale.
        """
        self._write(self.file(participant), participant, sessions)

    def write_beside_index(self, participant: str, sessions: Sequence[Session]) -> None:
        """Keep it beside the index, where there is one and its folder can be written to."""
        file = self.file_beside_index(participant)
        if file is not None:
            with contextlib.suppress(CannotCreateError):
                self._write(file, participant, sessions)

    def _write(self, file: Path, participant: str, sessions: Sequence[Session]) -> None:
        plain = [as_plain(session) for session in sessions]
        if [session_of(entry) for entry in plain] == [*sessions]:
            write_json(file, {"digest": self._digests[participant], "sessions": plain})

    def file(self, participant: str) -> Path:
        """Return where the sessions of a participant are kept."""
        return self._output_dir / "logs" / f"sub-{participant}" / "sessions.json"

    def file_beside_index(self, participant: str) -> Path | None:
        """Return where they are kept beside the index; one folder a dataset and question."""
        return self._beside_index and self._beside_index / f"sub-{participant}.json"

    def _digest(self, participant: str) -> str:
        label = f"sub-{participant}"
        files = {
            "files": file_states(self._root, self._root / label),
            "derivatives": {
                name: [str(folder), *file_states(folder, folder / label)]
                for name, folder in self._derivatives.items()
            },
        }
        text = json.dumps({**self._common, **files}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def as_plain(session: Session) -> dict[str, Any]:
    """Return a session as JSON holds it."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(session), default=str))
    return plain


def session_of(plain: Mapping[str, Any]) -> Session:
    """Return the session of :func:`as_plain`.

    Raises KeyError, TypeError or AttributeError for what is none.
    """
    single = {name: _image(plain[name]) for name in ("t1w", "flair", "brain_mask", "lesion_mask")}
    several: dict[str, Any] = {
        "megre": tuple(map(_series, plain["megre"])),
        "maps": tuple(map(_map, plain["maps"])),
        "sidecars": tuple(map(Path, plain["sidecars"])),
        "notes": tuple(plain["notes"]),
    }
    return Session(**{**plain, **single, **several})


def _image(plain: Mapping[str, Any] | None) -> SourceImage | None:
    return None if plain is None else SourceImage(**{**plain, "file": Path(plain["file"])})


def _map(plain: Mapping[str, Any]) -> PrecomputedMap:
    return PrecomputedMap(**{**plain, "image": _image(plain["image"])})


def _series(plain: Mapping[str, Any]) -> EchoSeries:
    files, times = tuple(map(Path, plain["files"])), tuple(plain["echo_times_s"])
    return EchoSeries(**{**plain, "files": files, "echo_times_s": times})
