"""Whether the heatmaps can be trusted: verdicts, perturbation, random weights, truth."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bids_xai.arrays import Floats
from bids_xai.attribution.randomization import LIMIT
from bids_xai.core.perturbation import mean_interval
from bids_xai.figures.trust import Band, LayerLikeness, perturbation_curves, randomization_curves
from bids_xai.reports.blocks import Block, Subheading, Table, Text, embedded
from bids_xai.reports.study_files import Study, section
from bids_xai.tables.numbers import MISSING, number, percent, read_rows, value_of

Row = Mapping[str, str]

CHECKS = "quality/summary.tsv"
_CHECKS = {
    "network": "Network",
    "aopc": "Perturbation",
    "randomization": "Random weights",
    "localization": "Truth",
    "conservation": "Conservation",
}
_ORDERS = ("morf", "random", "lerf")
_MEASURES = ("ssim", "spearman", "spearman_abs")
_MARKS = {"true": "✓", "false": "✗", MISSING: "–"}
_NO_PROOF = (
    "A method that passes can still be wrong: perturbed scans are unlike any that the network was "
    "trained on, and a map that depends on the weights may lie elsewhere than what they use. Do "
    "not interpret a method that fails."
)


@section("Can the heatmaps be trusted?", "quality")
def trust(study: Study) -> list[Block]:
    """Return verdicts in words, perturbation curves, the randomisation check, and localisation."""
    summary = read_rows(study.folder / CHECKS)
    if not summary:
        return [study.missing(CHECKS, "trust")]
    blocks: list[Block] = [*_verdicts(study, summary), Text(_NO_PROOF, "note")]
    blocks += _perturbation(study, _rows(study, "aopc.tsv"))
    blocks += _randomization(study, _rows(study, "randomization.tsv"))
    return [*blocks, *_localization(study, _rows(study, "localization.tsv"))]


def _rows(study: Study, name: str) -> list[dict[str, str]]:
    return read_rows(study.folder / "quality" / name)


def _verdicts(study: Study, summary: Sequence[Row]) -> list[Block]:
    """One line a check; networks that are not constant are counted only."""
    networks = [row for row in summary if row["check"] == "network"]
    good = [row for row in networks if row["passed"] == "true"]
    rest = [row for row in summary if row not in good]
    rows = sorted(rest, key=lambda row: _place(study, row))
    lines = tuple(
        (
            _whose(row),
            _CHECKS.get(row["check"], row["check"])
            + ("" if row["region"] == MISSING else f": {row['region']}"),
            f"{_MARKS.get(row['passed'], '')} {row['verdict']}",
        )
        for row in rows
    )
    said = f"{len(good)} of {len(networks)} networks tell scans apart."
    header = ("Configuration, method", "Check", "Verdict")
    caption = "Verdicts with their thresholds; ✓ passes, ✗ fails, – cannot be told"
    return [Text(said), Table(caption, header, lines)]


def _whose(row: Row) -> str:
    split = MISSING if row["split"] == MISSING else f"split {row['split']}"
    parts = (row["configuration"], split, row["method"])
    return ", ".join(part for part in parts if part != MISSING)


def _place(study: Study, row: Row) -> tuple[int, str, int]:
    known = study.identifiers
    configuration = row["configuration"]
    checks = list(_CHECKS)
    return (
        known.index(configuration) if configuration in known else len(known),
        "" if row["method"] == MISSING else row["method"],
        checks.index(row["check"]) if row["check"] in checks else len(checks),
    )


def _perturbation(study: Study, rows: Sequence[Row]) -> list[Block]:
    blocks: list[Block] = [Subheading("Perturbation curves")]
    if not rows:
        note = "No curves: no scan is predicted as the class that its heatmap explains, or the "
        return [*blocks, Text(note + "study asks for none (quality.scans).", "note")]
    settings = study.settings("quality")
    cubes = f"cubes of {number(settings['cube_mm'])} mm" if "cube_mm" in settings else "cubes"
    for name, mine in _by(rows, "configuration", study.identifiers).items():
        panels = {method: _bands(part) for method, part in _by(mine, "method").items()}
        people = len({row["participant_id"] for row in mine})
        caption = (
            f"Configuration {name}, {people} participants. AOPC: mean fall in probability of the "
            f"predicted class over the steps so far, while {cubes} become noise. Bands: 95 % "
            "intervals over participants, from five on. A map that shows what the network uses has "
            "its curve (most relevant first) above the random one, and least relevant first below."
        )
        described = f"Perturbation curves of configuration {name}, by method and order"
        blocks.append(embedded(perturbation_curves(panels), described, caption))
    return blocks


def _bands(rows: Sequence[Row]) -> dict[str, Band]:
    """Order → mean over participants and its interval at every step that all scans have."""
    found = {}
    for order in _ORDERS:
        scans: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        for row in rows:
            if row["order"] == order:
                scans[row["participant_id"]][int(row["step"])].append(value_of(row["aopc"]))
        n_steps = min(map(len, scans.values()))
        people = np.array(
            [
                [np.mean(steps[step]) for step in range(n_steps)]
                for _, steps in sorted(scans.items())
            ]
        )
        found[order] = Band(*mean_interval(people))
    return found


def _randomization(study: Study, rows: Sequence[Row]) -> list[Block]:
    blocks: list[Block] = [Subheading("Random weights")]
    if not rows:
        return [*blocks, Text("Not done (quality.randomization_scans is 0).", "note")]
    for name, mine in _by(rows, "configuration", study.identifiers).items():
        panels = {method: _likeness(part) for method, part in _by(mine, "method").items()}
        people = len({row["participant_id"] for row in mine})
        caption = (
            f"Configuration {name}, median over scans of {people} participants. From left to "
            "right, layers lose what they learnt, beginning at the output. Filled: all layers down "
            "to this one are random; hollow: this one alone. Dotted: a method whose maps stay "
            f"above {LIMIT:g} with all layers random fails."
        )
        described = f"Likeness of heatmaps to the original with random layers, configuration {name}"
        blocks.append(embedded(randomization_curves(panels, LIMIT), described, caption))
    return blocks


def _likeness(rows: Sequence[Row]) -> LayerLikeness:
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    modes: dict[str, dict[str, Floats]] = {}
    for mode in ("cascading", "independent"):
        mine = _by([row for row in rows if row["mode"] == mode], "layer")
        modes[mode] = {
            measure: np.array(
                [_median(value_of(row[measure]) for row in mine.get(layer, ())) for layer in layers]
            )
            for measure in _MEASURES
        }
    return LayerLikeness(layers, modes["cascading"], modes["independent"])


def _localization(study: Study, rows: Sequence[Row]) -> list[Block]:
    if not rows:
        return []
    lines = []
    for name, mine in _by(rows, "configuration", study.identifiers).items():
        for (method, region), part in _pairs(mine).items():
            hits = [row for row in part if row["outcome"] == "TP"]
            values = [
                _mean(value_of(row[column]) for row in hits)
                for column in ("mass_accuracy", "rank_accuracy", "pointing_game", "chance")
            ]
            people = len({row["participant_id"] for row in hits})
            cells = [percent(value) for value in values]
            lines.append((name, method, region, str(people), *cells))
    header = (
        "Configuration",
        "Method",
        "Region",
        "Participants",
        "Mass accuracy",
        "Rank accuracy",
        "Pointing game",
        "Chance",
    )
    caption = (
        "Heatmaps against the true regions, means over true positives. Mass: share of the positive "
        "relevance inside; rank: share of the highest voxels, as many as the region has; pointing "
        "game: how often the highest voxel lies inside; chance: what a flat map would have."
    )
    return [Subheading("Localisation"), Table(caption, header, tuple(lines))]


def _by(rows: Iterable[Row], column: str, order: Iterable[str] = ()) -> dict[str, list[Row]]:
    """Rows by a column, those of ``order`` first."""
    found: dict[str, list[Row]] = {name: [] for name in order}
    for row in rows:
        found.setdefault(row[column], []).append(row)
    return {name: mine for name, mine in found.items() if mine}


def _pairs(rows: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    found: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        found[row["method"], row["region"]].append(row)
    return found


def _mean(values: Iterable[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def _median(values: Iterable[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.median(finite)) if finite else math.nan
