"""The embedding to explore: a point shows its scan and heatmap. Needs no network."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from bids_xai.figures.style import NEGATIVE, PALETTE, POSITIVE
from bids_xai.reports.blocks import Html, filled
from bids_xai.reports.study_files import Study
from bids_xai.tables.numbers import percent, read_rows

MOST_POINTS = 5000
MOST_BYTES = 8_000_000
"""Of all pictures together, before they become text; further analyses have none."""

_SHEET = "mosaics.png"

_COLUMNS = 16  # tiles a line of a sheet, as figures.cluster_tiles lays them
_FACTS = ("Class", "Outcome", "Probability", "Cluster", "Split", "Relevance outside the brain")


def explorer(study: Study, folders: Mapping[str, Path]) -> list[Html]:
    """Return the embeddings as one drawing that answers to mouse and keyboard.

    folders : name of the analysis in words → its folder
    """
    shown = _Shown(study)
    for name, folder in folders.items():
        shown.add(name, folder)
    if not shown.analyses:
        return []
    columns, scans = _scans(study)
    data = {
        "analyses": shown.analyses,
        "facts": _FACTS,
        "columns": columns,
        "scans": scans,
        "palette": PALETTE,
        "negative": NEGATIVE,
        "positive": POSITIVE,
    }
    text = filled("spray_explorer.html", data=_safe(data), sheets=shown.sheets, notes=shown.notes)
    return [Html(Markup(text))]


class _Shown:
    """The analyses of a drawing, the pictures that fit into it, and words for what does not."""

    def __init__(self, study: Study) -> None:
        self.study, self.left = study, MOST_BYTES
        self.analyses: list[dict[str, Any]] = []
        self.sheets: list[str] = []
        self.notes: list[str] = []

    def add(self, name: str, folder: Path) -> None:
        """Add an analysis that has points."""
        points = _points(folder)
        if not points:
            return
        if len(points) > MOST_POINTS:
            self.notes.append(
                f"{name}: the first {MOST_POINTS} of {len(points)} heatmaps are shown."
            )
        sheet = self._sheet(name, folder)
        if sheet is not None and sheet["tiles"] < min(len(points), MOST_POINTS):
            self.notes.append(f"{name}: the first {sheet['tiles']} heatmaps have a picture.")
        self.analyses.append({"name": name, "points": points[:MOST_POINTS], "sheet": sheet})

    def _sheet(self, name: str, folder: Path) -> dict[str, Any] | None:
        """Where the pictures of the heatmaps lie in their sheet, and the number of that sheet."""
        file = folder / _SHEET
        tile = self.study.description.get("spray", {}).get(folder.name, {}).get("tile")
        if tile is None or not file.is_file():
            return None
        size = file.stat().st_size
        if size > self.left:
            place = file.relative_to(self.study.output_dir).as_posix()
            self.notes.append(
                f"{name}: the drawing shows no pictures of these heatmaps, to keep the page small. "
                f"They are in {place}."
            )
            return None
        self.left -= size
        self.sheets.append(base64.b64encode(file.read_bytes()).decode("ascii"))
        return {**tile, "columns": _COLUMNS, "image": len(self.sheets) - 1}


def _points(folder: Path) -> list[dict[str, Any]]:
    places = read_rows(folder / "embedding.tsv")
    members = read_rows(folder / "clusters.tsv")
    if len(members) != len(places):
        members = [{} for _ in places]
    return [
        {
            "x": round(float(place["x"]), 4),
            "y": round(float(place["y"]), 4),
            "cluster": int(place["cluster"]),
            "outcome": place["outcome"],
            "scan": member.get("scan") or _name(place),
            "facts": _facts({**place, **member}),
        }
        for place, member in zip(places, members, strict=True)
    ]


def _name(row: Mapping[str, str]) -> str:
    session = row.get("session_id", "n/a")
    return row["participant_id"] + ("" if session == "n/a" else f"_{session}")


def _facts(row: Mapping[str, str]) -> list[str]:
    outside = row.get("relevance_outside", "n/a")
    return [
        row.get("true_class", "n/a"),
        row["outcome"],
        _rounded(row.get("probability", "n/a")),
        row["cluster"],
        row.get("split", "n/a"),
        "n/a" if outside == "n/a" else percent(float(outside)),
    ]


def _rounded(text: str) -> str:
    return text if text == "n/a" else f"{float(text):.3f}"


def _scans(study: Study) -> tuple[list[str], dict[str, list[str]]]:
    """Names of the covariates, and their values for each scan; empty where missing."""
    rows = read_rows(study.folder / "spray" / "covariates.tsv")
    columns = [name for name in (rows[0] if rows else {}) if name != "scan"]
    known = [name for name in columns if any(row[name] != "n/a" for row in rows)]
    return known, {
        row["scan"]: ["" if row[name] == "n/a" else row[name] for name in known] for row in rows
    }


def _safe(data: Mapping[str, Any]) -> Markup:
    """JSON that cannot end the element it stands in."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
