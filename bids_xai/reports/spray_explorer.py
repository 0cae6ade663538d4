"""The embedding to explore: a point shows its scan and heatmap. Needs no network."""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from bids_xai.errors import BadDataError
from bids_xai.figures.style import NEGATIVE, PALETTE, POSITIVE
from bids_xai.reports.page import Text
from bids_xai.reports.study import Study
from bids_xai.reports.tables import percent

MOST_POINTS = 5000
MOST_BYTES = 8_000_000
"""Of all pictures together, before they become text; further analyses have none."""

_COLUMNS = 16  # tiles a line of a sheet, as figures.cluster_tiles lays them
_FACTS = ("Class", "Outcome", "Probability", "Cluster", "Split", "Relevance outside the brain")

# a style inside the drawing holds for the page, and is valid where a paragraph is
_STYLE = """
#spray-explorer { display: block; }
#spray-explorer .row { display: flex; flex-wrap: wrap; gap: 0.4rem 1.2rem; margin: 0.4rem 0; }
#spray-explorer .main { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
#spray-explorer svg { width: 420px; max-width: 100%; background: #fff; border: 1px solid var(--line); }
#spray-explorer path { stroke-width: 1.6; cursor: pointer; }
#spray-explorer path.now, #spray-explorer path:focus { stroke: #000; stroke-width: 3; outline: none; }
#spray-explorer path.same { stroke: #000; }
#spray-explorer .card { flex: 1 1 16rem; min-width: 15rem; max-height: 27rem; overflow: auto; }
#spray-explorer .line { display: block; }
#spray-explorer canvas { display: block; margin-bottom: 0.4rem; max-width: 100%; }
@media print { #spray-explorer { display: none; } }
"""  # noqa: E501


def read_rows(path: Path, needed: Sequence[str] = ()) -> list[dict[str, str]]:
    """Return the lines of a TSV, none where there is no file.

    Raises :class:`BadDataError` for a table without a needed column.
    """
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream, delimiter="\t")
        absent = [name for name in needed if name not in (reader.fieldnames or ())]
        if absent:
            raise BadDataError(
                f"the table lacks the columns {', '.join(absent)}", file=path,
                fix="run the step spray again",
            )  # fmt: skip
        return list(reader)


def explorer(study: Study, folders: Mapping[str, Path]) -> list[Text]:
    """Return the embeddings as one drawing that answers to mouse and keyboard.

    folders : name of the analysis in words → its folder
    """
    left = MOST_BYTES
    analyses = []
    for name, folder in folders.items():
        points = _points(folder)
        if not points:
            continue
        sheet = _sheet(study, folder, left)
        left -= len(sheet["image"]) * 3 // 4 if sheet else 0
        analyses.append({"name": name, "points": points, "sheet": sheet})
    if not analyses:
        return []
    columns, scans = _scans(study)
    data = {
        "analyses": analyses, "facts": _FACTS, "columns": columns, "scans": scans,
        "palette": PALETTE, "negative": NEGATIVE, "positive": POSITIVE,
    }  # fmt: skip
    return [Text(_html(json.dumps(data, separators=(",", ":"), ensure_ascii=False)))]


def _points(folder: Path) -> list[dict[str, Any]]:
    places = read_rows(folder / "embedding.tsv", ("x", "y", "cluster", "outcome"))
    members = read_rows(folder / "clusters.tsv")
    if len(members) != len(places):
        members = [{} for _ in places]
    return [
        {
            "x": round(float(place["x"]), 4), "y": round(float(place["y"]), 4),
            "cluster": int(place["cluster"]), "outcome": place["outcome"],
            "scan": member.get("scan") or _name(place), "facts": _facts({**place, **member}),
        }
        for place, member in zip(places[:MOST_POINTS], members, strict=False)
    ]  # fmt: skip


def _name(row: Mapping[str, str]) -> str:
    session = row.get("session_id", "n/a")
    return row["participant_id"] + ("" if session == "n/a" else f"_{session}")


def _facts(row: Mapping[str, str]) -> list[str]:
    outside = row.get("relevance_outside", "n/a")
    return [
        row.get("true_class", "n/a"), row["outcome"], _rounded(row.get("probability", "n/a")),
        row["cluster"], row.get("split", "n/a"),
        "n/a" if outside == "n/a" else percent(float(outside)),
    ]  # fmt: skip


def _rounded(text: str) -> str:
    return text if text == "n/a" else f"{float(text):.3f}"


def _sheet(study: Study, folder: Path, most_bytes: int) -> dict[str, Any] | None:
    file = folder / "mosaics.png"
    tile = study.description.get("spray", {}).get(folder.name, {}).get("tile")
    if tile is None or not file.is_file() or file.stat().st_size > most_bytes:
        return None
    image = base64.b64encode(file.read_bytes()).decode("ascii")
    return {**tile, "columns": _COLUMNS, "image": f"data:image/png;base64,{image}"}


def _scans(study: Study) -> tuple[list[str], dict[str, list[str]]]:
    """Names of the covariates, and their values for each scan; empty where missing."""
    rows = read_rows(study.folder / "spray" / "covariates.tsv", ("scan",))
    columns = [name for name in (rows[0] if rows else {}) if name != "scan"]
    known = [name for name in columns if any(row[name] != "n/a" for row in rows)]
    return known, {
        row["scan"]: ["" if row[name] == "n/a" else row[name] for name in known] for row in rows
    }


def _html(data: str) -> Markup:
    """Elements that may stand in a paragraph."""
    script = resources.files("bids_xai.reports").joinpath("templates/spray_explorer.js").read_text()
    safe = Markup(data.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
    label = escape("Embedding of the heatmaps; every mark is a button that shows its scan")
    return Markup(
        '<span id="spray-explorer" hidden><span class="row">'
        '<label>Analysis <select class="which"></select></label>'
        '<label>Colours <select class="tint"><option value="outcome">class</option>'
        '<option value="cluster">cluster</option></select></label></span>'
        f'<span class="main"><svg viewBox="0 0 420 420" role="group" aria-label="{label}">'
        f"</svg><svg width='0' height='0' aria-hidden='true' style='display:none'>"
        f"<style>{_STYLE}</style></svg>"
        '<span class="card" aria-live="polite"></span></span></span>'
        "<noscript>The drawing to explore needs JavaScript; the figures above do not.</noscript>"
        f'<script type="application/json" id="spray-data">{safe}</script>'
        f"<script>{script}</script>"
    )
