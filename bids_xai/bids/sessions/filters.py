"""The file of ``--bids-filter-file``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bids_xai.bids.layout import read_json
from bids_xai.errors import BadDataError, NoInputError

FILTERS = ("megre", "t1w", "flair")


def read_filters(path: Path | None) -> dict[str, Any]:
    """Read ``--bids-filter-file``: pybids entities under ``megre``, ``t1w`` and ``flair``."""
    if path is None:
        return {}
    if not path.is_file():
        raise NoInputError("no such filter file", file=path, fix="check --bids-filter-file")
    content = read_json(path)
    if not all(isinstance(value, dict) for value in content.values()):
        raise BadDataError(
            "each filter must be an object", file=path, fix='write {"t1w": {"run": 1}}'
        )
    unknown = set(content) - set(FILTERS)
    if unknown:
        raise BadDataError(
            f"unknown key {', '.join(sorted(unknown))}", file=path, fix=f"use {', '.join(FILTERS)}"
        )
    return content
