"""The raw dataset: its description and its participants."""

from __future__ import annotations

import json
from collections.abc import Iterable
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
    if path.is_symlink() and not path.exists():
        raise error_class(
            "the file is a link to content that is not here",
            file=path,
            fix=f"fetch it: datalad get {path.name}",
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise error_class(
            f"cannot read the JSON file ({error})", file=path, fix="correct it"
        ) from error
    if not isinstance(content, dict):
        raise error_class("the JSON file is not an object", file=path, fix="correct it")
    return content


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
