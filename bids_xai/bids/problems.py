"""What failed, kept in a ``problems.json`` until it is mended, so that later pages still say so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bids_xai.bids.files import write_json
from bids_xai.bids.layout import read_json

NAME = "problems.json"


def read_problems(file: Path) -> dict[str, str]:
    """Return what failed and is not mended yet: label → message; nothing where there is no file.

    Raises :class:`BadDataError` for a file that is no JSON object.
    """
    return read_json(file) if file.is_file() else {}


def keep_problems(file: Path, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Write what failed; remove the file where nothing did, leave it where nothing changed.

    before : what the file holds
    """
    if now and now != before:
        write_json(file, dict(now))
    elif before and not now:
        file.unlink(missing_ok=True)
