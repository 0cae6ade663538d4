"""The raw dataset: its description, its index, its participants. The only one that asks pybids."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import uuid
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bids_xai.errors import (
    BadDataError,
    InvalidBidsError,
    NoInputError,
    NothingMatchedError,
    UserError,
)


def check_dataset(root: Path, skip_validation: bool = False) -> dict[str, Any]:
    """Return the dataset description, an empty one where validation is skipped.

    Raises :class:`NoInputError` where the folder is missing and :class:`InvalidBidsError` where
    it is no BIDS dataset.
    """
    if not root.is_dir():
        raise NoInputError("no such BIDS folder", file=root, fix="check the first argument")
    if skip_validation:
        return {}
    path = root / "dataset_description.json"
    if not path.is_file():
        above = next(
            (parent for parent in root.resolve().parents if (parent / path.name).is_file()), None
        )
        raise InvalidBidsError(
            "not a BIDS dataset: dataset_description.json is missing",
            file=root,
            fix=f"give the folder of the whole dataset, {above}, and --participant-label for one "
            "participant"
            if above
            else 'add it with at least {"Name": "…", "BIDSVersion": "1.11.0"}',
        )
    description = read_json(path, InvalidBidsError)
    if "BIDSVersion" not in description:
        raise InvalidBidsError("BIDSVersion is missing", file=path, fix="add the key BIDSVersion")
    return description


def read_json(path: Path, error_class: type[UserError] = BadDataError) -> dict[str, Any]:
    """Read a JSON object; anything else is one error of the given class naming the file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise error_class(
            f"cannot read the JSON file ({error})", file=path, fix="correct it"
        ) from error
    if not isinstance(content, dict):
        raise error_class("the JSON file is not an object", file=path, fix="correct it")
    return content


def open_layout(
    root: Path, participants: Sequence[str] = (), database_dir: Path | None = None
) -> Any:
    """Index the raw dataset (derivatives, source data and hidden folders left out).

    participants : only these are indexed, where given: a job for one of thousands need not wait
    database_dir : keeps the index of the whole dataset for later runs, which do not look at the
        dataset again; to be deleted when the dataset changes
    Raises :class:`InvalidBidsError` naming the file that cannot be indexed.
    """
    from bids import BIDSLayout, BIDSLayoutIndexer

    ignore = [re.compile(r"/\."), *_folders_of_no_participant(root)]
    if participants and database_dir is None:
        alternatives = "|".join(re.escape(label) for label in participants)
        ignore.append(re.compile(rf"^/?sub-(?!(?:{alternatives})(?:/|$))"))
    indexer = BIDSLayoutIndexer(validate=False, ignore=ignore, index_metadata=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pybids announces its own future changes
        try:
            if database_dir is not None:
                database_dir = _complete_index(root, indexer, database_dir)
            return BIDSLayout(
                root, validate=False, derivatives=False, indexer=indexer, database_path=database_dir
            )
        except (OSError, ValueError, TypeError) as error:
            raise InvalidBidsError(
                f"the dataset cannot be indexed: {error}",
                file=_broken_sidecar(root) or root,
                fix="correct the file named",
            ) from error


def _complete_index(root: Path, indexer: Any, folder: Path) -> Path:
    """Return the index in ``folder``, made aside first: pybids would take half of one for whole."""
    from bids import BIDSLayout

    final = folder / "bids_xai-index"
    if final.is_dir():
        return final
    aside = folder / f".tmp-{uuid.uuid4().hex}"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        layout = BIDSLayout(
            root, validate=False, derivatives=False, indexer=indexer, database_path=aside
        )
        layout.connection_manager.engine.dispose()
        with contextlib.suppress(OSError):  # another process was first
            aside.rename(final)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return final


def _folders_of_no_participant(root: Path) -> list[re.Pattern[str]]:
    """Everything beside ``sub-*`` is left out: derivatives, outputs inside the dataset."""
    others = [p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("sub-")]
    return [re.compile(rf"^/?{re.escape(name)}(/|$)") for name in sorted(others)]


def _broken_sidecar(root: Path) -> Path | None:
    """Return the first sidecar that is not a JSON object."""
    for path in sorted([*root.glob("*.json"), *root.glob("sub-*/**/*.json")]):
        try:
            read_json(path)
        except BadDataError:
            return path
    return None


def select_participants(root: Path, requested: Iterable[str]) -> list[str]:
    """Return the labels to work on, sorted; all of the dataset where none are named.

    Raises :class:`NothingMatchedError` naming the labels that do not exist.
    """
    present = sorted(p.name.removeprefix("sub-") for p in root.glob("sub-*") if p.is_dir())
    requested = [label.removeprefix("sub-") for label in requested]
    missing = sorted(set(requested) - set(present))
    if missing:
        raise NothingMatchedError(
            f"no such participant: {', '.join(missing)}",
            file=root,
            fix=f"choose from {', '.join(present[:8])}{' …' if len(present) > 8 else ''}",
        )
    if not present:
        raise NothingMatchedError(
            "the dataset has no sub-* folder", file=root, fix="check the first argument"
        )
    return sorted(set(requested)) if requested else present
