"""The index of the raw dataset: pybids' layout, made anew where it does not fit the dataset."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import re
import shutil
import uuid
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bids_xai.bids.files import write_json
from bids_xai.bids.layout import read_json
from bids_xai.bids.stamps import file_states
from bids_xai.errors import InvalidBidsError, UserError

LOG = logging.getLogger("bids_xai")

_PREFIX = "bids_xai-index-"
_RECORD = "bids_xai.json"  # beside the index: whose it is, and who could not be indexed


@dataclass(frozen=True)
class DatasetIndex:
    """pybids' layout, and the participants that are not in it since a sidecar cannot be read.

    unreadable : label of a participant -> what is wrong
    """

    layout: Any
    unreadable: Mapping[str, UserError] = field(default_factory=dict)


def open_index(
    root: Path, participants: Sequence[str] = (), database_dir: Path | None = None
) -> DatasetIndex:
    """Index the raw dataset (derivatives, source data and hidden folders left out).

    A participant with a sidecar that cannot be read is left out and named in the result; the
    others are indexed.

    participants : only these are indexed, where given: a job for one of thousands need not wait
    database_dir : keeps the index of the whole dataset for later runs. It is made anew where root,
        names, sizes or times of change of the dataset's files are others
    Raises :class:`InvalidBidsError` naming the file where the dataset cannot be indexed.
    """
    if database_dir is not None:
        return _kept_index(root.resolve(), database_dir)
    ignored = []
    if participants:
        alternatives = "|".join(re.escape(label) for label in participants)
        ignored.append(re.compile(rf"^/?sub-(?!(?:{alternatives})(?:/|$))"))
    return _without_the_unreadable(root, participants, ignored, None)


def _without_the_unreadable(
    root: Path,
    participants: Sequence[str],
    ignored: Sequence[re.Pattern[str]],
    database: Path | None,
) -> DatasetIndex:
    try:
        return DatasetIndex(_layout(root, ignored, database))
    except InvalidBidsError:
        unreadable = _unreadable_participants(root, participants)
        if not unreadable:
            raise
    if database is not None:
        shutil.rmtree(database, ignore_errors=True)  # half an index
    labels = "|".join(map(re.escape, unreadable))
    others = [*ignored, re.compile(rf"^/?sub-(?:{labels})(?:/|$)")]
    return DatasetIndex(_layout(root, others, database), unreadable)


def _layout(root: Path, ignored: Iterable[re.Pattern[str]], database: Path | None) -> Any:
    from bids import BIDSLayout, BIDSLayoutIndexer

    ignore = [re.compile(r"/\."), *_folders_of_no_participant(root), *ignored]
    indexer = BIDSLayoutIndexer(validate=False, ignore=ignore, index_metadata=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pybids announces its own future changes
        try:
            made = database is None or not database.exists()
            layout = BIDSLayout(
                root, validate=False, derivatives=False, indexer=indexer, database_path=database
            )
            if made:
                _find_by_value(layout)
            return layout
        except (OSError, ValueError, TypeError) as error:
            raise InvalidBidsError(
                f"the dataset cannot be indexed: {error}", file=root, fix="correct the file named"
            ) from error


def _find_by_value(layout: Any) -> None:
    """Let the database find files by the value of an entity.

    pybids' own keys are paths: to find the files of one participant it would look at those of all,
    so that the time for everybody would grow with the square of their number.
    """
    from sqlalchemy import text

    layout.session.execute(text("CREATE INDEX tags_by_value ON tags (entity_name, _value)"))
    layout.session.commit()


def _folders_of_no_participant(root: Path) -> list[re.Pattern[str]]:
    """Everything beside ``sub-*`` is left out: derivatives, outputs inside the dataset."""
    others = [p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("sub-")]
    return [re.compile(rf"^/?{re.escape(name)}(/|$)") for name in sorted(others)]


def _unreadable_participants(root: Path, participants: Sequence[str]) -> dict[str, UserError]:
    """Participants with a sidecar that is no JSON object, and the first such error of each.

    Raises :class:`InvalidBidsError` for a sidecar that holds for everybody.
    """
    for path in sorted(root.glob("*.json")):
        read_json(path, InvalidBidsError)
    folders = [f"sub-{label}" for label in participants] or ["sub-*"]
    unreadable: dict[str, UserError] = {}
    for path in sorted(path for folder in folders for path in root.glob(f"{folder}/**/*.json")):
        try:
            read_json(path, InvalidBidsError)
        except InvalidBidsError as error:
            label = path.relative_to(root).parts[0].removeprefix("sub-")
            unreadable.setdefault(label, error)
    return unreadable


def _kept_index(root: Path, folder: Path) -> DatasetIndex:
    """The index of this very dataset in ``folder``, made where it is not there.

    It is made aside and then renamed: pybids would take half of one for whole.
    """
    digest = dataset_digest(root)
    final = folder / f"{_PREFIX}{digest[:16]}"
    if final.is_dir():
        unreadable = _recorded(final / _RECORD)
        if unreadable is not None:
            return DatasetIndex(_layout(root, (), final), unreadable)
        shutil.rmtree(final)
    if any(folder.glob(f"{_PREFIX}*")):
        LOG.info("the dataset is another one or has changed since it was indexed: indexing again")
    aside = folder / f".tmp-{uuid.uuid4().hex}"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        index = _without_the_unreadable(root, (), (), aside)
        index.layout.connection_manager.engine.dispose()
        _record(aside / _RECORD, root, index.unreadable)
        _remove_former(folder, root)
        with contextlib.suppress(OSError):  # another process was first
            aside.rename(final)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return DatasetIndex(_layout(root, (), final), index.unreadable)


def dataset_digest(root: Path) -> str:
    """Digest of the folder's path, and of name, size and time of change of all that is indexed."""
    indexed = [
        path
        for path in root.iterdir()
        if not path.name.startswith(".") and (path.is_file() or path.name.startswith("sub-"))
    ]
    states = "\n".join([str(root), *file_states(root, *indexed)])
    return hashlib.sha256(states.encode(errors="surrogateescape")).hexdigest()


def _record(file: Path, root: Path, unreadable: Mapping[str, UserError]) -> None:
    people = {
        label: {"problem": error.problem, "file": error.file, "fix": error.fix}
        for label, error in unreadable.items()
    }
    write_json(file, {"root": str(root), "unreadable": people})


def _recorded(file: Path) -> dict[str, UserError] | None:
    """Who could not be indexed; None where the record cannot be read."""
    try:
        people = json.loads(file.read_text(encoding="utf-8"))["unreadable"]
        return {label: InvalidBidsError(**parts) for label, parts in people.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _remove_former(folder: Path, root: Path) -> None:
    """Remove indices of the same dataset as it was before; others keep theirs."""
    for record in folder.glob(f"{_PREFIX}*/{_RECORD}"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if json.loads(record.read_text(encoding="utf-8"))["root"] == str(root):
                shutil.rmtree(record.parent, ignore_errors=True)
