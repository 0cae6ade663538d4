"""Whether the heatmaps can be trusted: verdicts, perturbation, random weights, truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from bids_xai.arrays import Floats
from bids_xai.attribution.randomization_verdict import LIMIT
from bids_xai.core.perturbation import mean_interval
from bids_xai.figures.trust import Band, LayerLikeness, perturbation_curves, randomization_curves
from bids_xai.reports.blocks import Block, Subheading, TableBlock, Text, embedded
from bids_xai.reports.study.rows import grouped, mean_of
from bids_xai.reports.study_files import StudyFiles, section
from bids_xai.tables.numbers import number, percent
from bids_xai.tables.trust import (
    AOPC,
    LOCALIZATION,
    RANDOMIZATION,
    VERDICTS,
    CheckedMap,
    CheckVerdict,
    LocalizationRow,
    PerturbationStep,
    RandomizedLayer,
)

AnyMap = TypeVar("AnyMap", bound=CheckedMap)

FOLDER = "quality"
"""Of the study's folder, where the step writes."""
_CHECKS = {
    "network": "Network",
    "aopc": "Perturbation",
    "randomization": "Random weights",
    "localization": "Truth",
    "conservation": "Conservation",
}
_ORDERS = ("morf", "random", "lerf")
_NO_PROOF = (
    "A method that passes can still be wrong: perturbed scans are unlike any that the network "
    "was trained on, and a map that depends on the weights may still not show the voxels they "
    "use. Do not interpret a method that fails."
)


@section("Can the heatmaps be trusted?", FOLDER)
def trust(study: StudyFiles) -> list[Block]:
    """Return verdicts in words, perturbation curves, the randomisation check, and localisation."""
    verdicts = study.rows(VERDICTS, FOLDER)
    if not verdicts:
        return [study.missing(VERDICTS, FOLDER)]
    blocks: list[Block] = [*_verdicts(study, verdicts), Text(_NO_PROOF, "note")]
    blocks += _perturbation(study, study.rows(AOPC, FOLDER))
    blocks += _randomization(study, study.rows(RANDOMIZATION, FOLDER))
    return [*blocks, *_localization(study, study.rows(LOCALIZATION, FOLDER))]


def _verdicts(study: StudyFiles, verdicts: Sequence[CheckVerdict]) -> list[Block]:
    """One line a check; networks that are not constant are counted only."""
    networks = [row for row in verdicts if row.check == "network"]
    n_good = sum(row.passed is True for row in networks)
    rest = [row for row in verdicts if not (row.check == "network" and row.passed)]
    lines = tuple(
        (
            _subject(row),
            _CHECKS.get(row.check, row.check) + (f": {row.region}" if row.region else ""),
            f"{_mark(row.passed)} {row.verdict}",
        )
        for row in sorted(rest, key=lambda row: _rank(study, row))
    )
    summary = f"{n_good} of {len(networks)} networks respond to differences between scans."
    header = ("Configuration, method", "Check", "Verdict")
    caption = "Verdicts with their thresholds; ✓ passes, ✗ fails, – undecided"
    return [Text(summary), TableBlock(caption, header, lines)]


def _mark(passed: bool | None) -> str:
    return "–" if passed is None else ("✓" if passed else "✗")


def _subject(row: CheckVerdict) -> str:
    """``A, split 0, lrp-zplus`` as far as the check is of one."""
    split = None if row.split is None else f"split {row.split}"
    return ", ".join(filter(None, (row.configuration, split, row.method)))


def _rank(study: StudyFiles, row: CheckVerdict) -> tuple[int, str, int]:
    names, checks = study.identifiers, list(_CHECKS)
    return (
        names.index(row.configuration) if row.configuration in names else len(names),
        row.method or "",
        checks.index(row.check) if row.check in checks else len(checks),
    )


def _perturbation(study: StudyFiles, rows: Sequence[PerturbationStep]) -> list[Block]:
    blocks: list[Block] = [Subheading("Perturbation curves")]
    if not rows:
        note = "No curves: no scan is predicted as the class that its heatmap explains, or the "
        return [*blocks, Text(note + "study asks for none (quality.scans).", "note")]
    settings = study.description.settings
    cubes = "cubes" if settings is None else f"cubes of {number(settings.quality.cube_mm)} mm"
    for name, part in _by_configuration(study, rows).items():
        methods = grouped(part, lambda row: row.method)
        caption = (
            f"Configuration {name}, {_n_participants(part)} participants. AOPC: mean drop in "
            f"probability of the predicted class over the steps so far, while {cubes} are replaced "
            "by noise. Bands: 95 % "
            "intervals over participants, from five participants up. For a map that shows what the "
            "network uses, the curve with the most relevant cubes first lies above the random one, "
            "and that with the least relevant first below it."
        )
        described = f"Perturbation curves of configuration {name}, by method and order"
        panels = {method: _bands(lines) for method, lines in methods.items()}
        blocks.append(embedded(perturbation_curves(panels), described, caption))
    return blocks


def _bands(rows: Sequence[PerturbationStep]) -> dict[str, Band]:
    """Order → mean over participants and its interval at every step that all scans have."""
    by_order = grouped(rows, lambda row: row.order)
    bands = {}
    for order in _ORDERS:
        people = grouped(by_order.get(order, ()), lambda row: row.participant_id)
        curves = [_curve(lines) for _, lines in sorted(people.items())]
        n_steps = min(map(len, curves))
        bands[order] = Band(*mean_interval(np.array([curve[:n_steps] for curve in curves])))
    return bands


def _curve(rows: Sequence[PerturbationStep]) -> list[float]:
    """The mean over a participant's scans at every step."""
    steps = grouped(rows, lambda row: row.step)
    return [
        float(np.mean(np.array([row.aopc for row in steps[step]], float)))
        for step in range(len(steps))
    ]


def _randomization(study: StudyFiles, rows: Sequence[RandomizedLayer]) -> list[Block]:
    blocks: list[Block] = [Subheading("Random weights")]
    if not rows:
        return [*blocks, Text("Not done (quality.randomization_scans is 0).", "note")]
    for name, part in _by_configuration(study, rows).items():
        methods = grouped(part, lambda row: row.method)
        caption = (
            f"Configuration {name}, median over scans of {_n_participants(part)} participants. "
            "From left to right, layers are randomised one after the other, beginning at the "
            "output. Filled: all layers down to this one are random; hollow: only this one. "
            f"Dotted: a method whose maps stay above {LIMIT:g} with all layers random fails."
        )
        described = (
            f"Similarity of heatmaps to the original with random layers, configuration {name}"
        )
        panels = {method: _likeness(lines) for method, lines in methods.items()}
        blocks.append(embedded(randomization_curves(panels, LIMIT), described, caption))
    return blocks


def _likeness(rows: Sequence[RandomizedLayer]) -> LayerLikeness:
    layers = list(dict.fromkeys(row.layer for row in rows))
    modes = grouped(rows, lambda row: row.mode)
    cascading, independent = (
        _medians(modes.get(mode, ()), layers) for mode in ("cascading", "independent")
    )
    return LayerLikeness(layers, cascading, independent)


def _medians(rows: Sequence[RandomizedLayer], layers: Sequence[str]) -> Mapping[str, Floats]:
    """Measure → its median over scans at every layer."""
    by_layer = grouped(rows, lambda row: row.layer)
    parts = [by_layer.get(layer, []) for layer in layers]
    return {
        "ssim": np.array([_median(row.ssim for row in part) for part in parts]),
        "spearman": np.array([_median(row.spearman for row in part) for part in parts]),
        "spearman_abs": np.array([_median(row.spearman_abs for row in part) for part in parts]),
    }


def _localization(study: StudyFiles, rows: Sequence[LocalizationRow]) -> list[Block]:
    if not rows:
        return []
    lines = []
    for name, part in _by_configuration(study, rows).items():
        for (method, region), maps in grouped(part, lambda row: (row.method, row.region)).items():
            hits = [row for row in maps if row.outcome == "TP"]
            means = (
                mean_of(row.mass_accuracy for row in hits),
                mean_of(row.rank_accuracy for row in hits),
                mean_of(row.pointing_game for row in hits),
                mean_of(row.chance for row in hits),
            )
            lines.append((name, method, region, str(_n_participants(hits)), *map(percent, means)))
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
        "game: how often the highest voxel lies inside; chance: the value for a constant map."
    )
    return [Subheading("Localisation"), TableBlock(caption, header, tuple(lines))]


def _by_configuration(study: StudyFiles, rows: Iterable[AnyMap]) -> dict[str, list[AnyMap]]:
    return grouped(rows, lambda row: row.configuration, study.identifiers)


def _n_participants(rows: Iterable[CheckedMap]) -> int:
    return len({row.participant_id for row in rows})


def _median(values: Iterable[float | None]) -> float:
    defined = [value for value in values if value is not None]
    return float(np.median(defined)) if defined else float("nan")
