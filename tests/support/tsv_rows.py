"""The cells of a table as they stand in the file."""

from __future__ import annotations

import csv
from pathlib import Path


def text_rows(path: Path) -> list[dict[str, str]]:
    """Return column -> text of every line."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))
