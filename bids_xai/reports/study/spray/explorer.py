"""The embedding to explore: a point shows its scan and heatmap. Needs no network."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from markupsafe import Markup

from bids_xai.bids.integrity import check_intact
from bids_xai.figures.style import NEGATIVE, PALETTE, POSITIVE
from bids_xai.reports.blocks import Html, embedded_json, filled
from bids_xai.reports.study.spray.analyses import FOLDER, Analysis
from bids_xai.reports.study_files import StudyFiles
from bids_xai.tables.numbers import MISSING, percent
from bids_xai.tables.spray import CLUSTERS, COVARIATES, EMBEDDING, ClusterMember, EmbeddedMap

MOST_POINTS = 5000
MOST_BYTES = 8_000_000
"""Of all pictures together, before they become text; further analyses have none."""

_SHEET = "mosaics.png"

_COLUMNS = 16  # tiles a line of a sheet, as figures.cluster_tiles lays them
_FACTS = ("Class", "Outcome", "Probability", "Cluster", "Split", "Relevance outside the brain")


@dataclass(frozen=True)
class PointEntry:
    """A heatmap in the drawing; facts : in the order of their names."""

    x: float
    y: float
    cluster: int
    outcome: str
    scan: str
    facts: Sequence[str]


@dataclass(frozen=True)
class SheetEntry:
    """The pictures of an analysis: size of a tile in pixels, their number, tiles a line.

    image : number of the sheet
    """

    height: int
    width: int
    tiles: int
    columns: int
    image: int


@dataclass(frozen=True)
class AnalysisEntry:
    """An analysis in the drawing."""

    name: str
    points: Sequence[PointEntry]
    sheet: SheetEntry | None


def explorer(study: StudyFiles, analyses: Sequence[Analysis]) -> list[Html]:
    """Return the embeddings as one drawing that answers to mouse and keyboard."""
    drawing = _Explorer(study)
    for analysis in analyses:
        drawing.add(analysis)
    if not drawing.analyses:
        return []
    columns, scans = _scans(study)
    data = {
        "analyses": [asdict(entry) for entry in drawing.analyses],
        "facts": _FACTS,
        "columns": columns,
        "scans": scans,
        "palette": PALETTE,
        "negative": NEGATIVE,
        "positive": POSITIVE,
    }
    text = filled(
        "spray_explorer.html", data=embedded_json(data), sheets=drawing.sheets, notes=drawing.notes
    )
    return [Html(Markup(text))]


class _Explorer:
    """The analyses of a drawing, the pictures that fit into it, and words for what does not."""

    def __init__(self, study: StudyFiles) -> None:
        self.study, self.left = study, MOST_BYTES
        self.analyses: list[AnalysisEntry] = []
        self.sheets: list[str] = []
        self.notes: list[str] = []

    def add(self, analysis: Analysis) -> None:
        """Add an analysis that has points."""
        name, points = analysis.title, _points(analysis)
        if not points:
            return
        if len(points) > MOST_POINTS:
            self.notes.append(
                f"{name}: the first {MOST_POINTS} of {len(points)} heatmaps are shown."
            )
        sheet = self._sheet(analysis)
        if sheet is not None and sheet.tiles < min(len(points), MOST_POINTS):
            self.notes.append(f"{name}: the first {sheet.tiles} heatmaps have a picture.")
        self.analyses.append(AnalysisEntry(name, points[:MOST_POINTS], sheet))

    def _sheet(self, analysis: Analysis) -> SheetEntry | None:
        """Where the pictures of the heatmaps lie in their sheet, and the number of that sheet."""
        file, tile = analysis.folder / _SHEET, analysis.description.tile
        if tile is None or not file.is_file():
            return None
        size = file.stat().st_size
        if size > self.left:
            path = file.relative_to(self.study.output_dir).as_posix()
            self.notes.append(
                f"{analysis.title}: the plot shows no pictures of these heatmaps, to "
                f"keep the page small. They are in {path}."
            )
            return None
        check_intact([file])
        self.left -= size
        self.sheets.append(base64.b64encode(file.read_bytes()).decode("ascii"))
        return SheetEntry(tile.height, tile.width, tile.tiles, _COLUMNS, len(self.sheets) - 1)


def _points(analysis: Analysis) -> list[PointEntry]:
    points = analysis.rows(EMBEDDING)
    clustered = analysis.rows(CLUSTERS)
    fits = len(clustered) == len(points)
    members: Sequence[ClusterMember | None] = clustered if fits else [None] * len(points)
    return [_point(point, member) for point, member in zip(points, members, strict=True)]


def _point(point: EmbeddedMap, member: ClusterMember | None) -> PointEntry:
    scan = member.scan if member is not None else ""
    return PointEntry(
        round(point.x, 4),
        round(point.y, 4),
        point.cluster,
        point.outcome,
        scan or "_".join(filter(None, (point.participant_id, point.session_id))),
        _facts(point, member),
    )


def _facts(point: EmbeddedMap, member: ClusterMember | None) -> list[str]:
    probability = None if member is None else member.probability
    outside = None if member is None else member.relevance_outside
    row = point if member is None else member
    return [
        row.true_class,
        row.outcome,
        MISSING if probability is None else f"{probability:.3f}",
        str(row.cluster),
        str(row.split),
        percent(outside),
    ]


def _scans(study: StudyFiles) -> tuple[list[str], dict[str, list[str]]]:
    """Names of the covariates, and their values for each scan; empty where missing."""
    rows = study.rows(COVARIATES, FOLDER)
    names = list(rows[0].covariates) if rows else []
    columns = [name for name in names if any(row.covariates.get(name) is not None for row in rows)]
    return columns, {row.scan: [row.covariates.get(name) or "" for name in columns] for row in rows}
