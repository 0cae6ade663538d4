"""From the tables of the step ``trust`` to verdicts in words, each with its threshold."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

import numpy as np

from bids_xai.arrays import Floats64
from bids_xai.attribution.randomization_verdict import verdict as depends_on_weights
from bids_xai.core.perturbation import FEWEST, mean_interval
from bids_xai.studies.tables import Target
from bids_xai.tables.predictions import Prediction
from bids_xai.tables.trust import (
    MAP,
    CheckVerdict,
    LayerSum,
    LocalizationRow,
    PerturbationStep,
    RandomizedLayer,
)

LEAST_RANGE = 0.05
"""Networks whose probabilities differ less over all test scans count as constant."""
LEAST_HITS = 0.5
"""Share of true positives whose highest voxel must lie in the region."""
TOLERANCE = 1e-3
"""Largest loss of relevance of a method that conserves it."""
MARKER = "marker"
"""Region of simulated cohorts that is a shortcut, not the disease."""

Row = TypeVar("Row")
Key = TypeVar("Key", bound=Hashable)
MeanInterval = tuple[float, float, float]
"""Mean and both ends of its 95 % interval."""


def network_verdicts(predictions: Iterable[Prediction], target: Target) -> list[CheckVerdict]:
    """Return of each network whether what it says depends on the scan."""
    networks = grouped(predictions, lambda row: (row.configuration, row.split))
    return [_of_network(rows, target) for rows in networks.values()]


def _of_network(rows: Sequence[Prediction], target: Target) -> CheckVerdict:
    several = len(target.names) > 2
    values = np.array(
        [
            [_or_nan(row.class_probabilities[name]) for name in target.names]
            if several
            else [row.probability]
            for row in rows
        ]
    )
    n_scans = len({row.scan for row in rows})
    spread = float(np.ptp(values, axis=0).max())
    passed = None if n_scans < 2 else spread >= LEAST_RANGE
    if passed is None:
        words = "only one scan: whether the network is constant is undecided"
    elif passed:
        words = f"passes: its probabilities range over {spread:.2g}"
    else:
        words = (
            "fails: the network gives nearly the same output for every scan (probabilities range "
            f"over {spread:.1g}, {LEAST_RANGE:g} to pass). Its heatmaps mean nothing, though those "
            "of lrp-zplus still sum to 1"
        )
    return CheckVerdict(
        configuration=rows[0].configuration,
        split=rows[0].split,
        check="network",
        n=n_scans,
        value=spread,
        passed=passed,
        verdict=words,
    )


def aopc_verdicts(rows: Iterable[PerturbationStep]) -> list[CheckVerdict]:
    """Return of each method whether its curve lies above the random one, that above ``lerf``."""
    methods = grouped(rows, lambda row: (row.configuration, row.method))
    return [_of_curves(steps) for steps in methods.values()]


def _of_curves(rows: Sequence[PerturbationStep]) -> CheckVerdict:
    areas = [final_areas(rows, order) for order in ("morf", "random", "lerf")]
    participants = sorted(areas[0])
    most, chance, least = (np.array([area[p] for p in participants]) for area in areas)
    above, below = _interval_of(most - chance), _interval_of(chance - least)
    stepped = max(row.step for row in rows) > 0
    enough = len(participants) >= FEWEST and stepped
    passed = above[1] > 0 and below[0] > 0 if enough else None
    numbers = (
        f"AOPC {most.mean():.3f} most relevant first, {chance.mean():.3f} random, "
        f"{least.mean():.3f} least relevant first; differences {_interval_words(above)} and "
        f"{_interval_words(below)} (mean and 95 % interval over participants; to pass, the first "
        "interval and the second mean must be above 0)"
    )
    return CheckVerdict(
        configuration=rows[0].configuration,
        method=rows[0].method,
        check="aopc",
        n=len(participants),
        value=float(most.mean()),
        passed=passed,
        verdict=f"{_curve_words(passed, above, below, len(participants), stepped)}; {numbers}",
    )


def _curve_words(
    passed: bool | None, above: MeanInterval, below: MeanInterval, n: int, stepped: bool
) -> str:
    if passed:
        return (
            "passes: most relevant first lies above random, and random above least relevant first"
        )
    if passed is None and stepped:
        return f"only {n} participants, {FEWEST} or more are needed"
    if passed is None:
        return "no step was taken: there are fewer cubes than one step replaces"
    reasons = (
        "" if above[1] > 0 else "most relevant first does not lie above random",
        "" if below[0] > 0 else "random does not lie above least relevant first",
    )
    return f"fails: {' and '.join(filter(None, reasons))}"


def final_areas(rows: Iterable[PerturbationStep], order: str) -> dict[str, float]:
    """Return participant → AOPC of the last step, mean over the participant's scans."""
    scans = grouped(
        (row for row in rows if row.order == order),
        lambda row: (row.participant_id, row.scan, row.split),
    )
    last = [max(reversed(steps), key=lambda row: row.step) for steps in scans.values()]
    return by_participant((row.participant_id, row.aopc) for row in last)


def randomization_verdicts(rows: Iterable[RandomizedLayer]) -> list[CheckVerdict]:
    """Return of each method whether its maps change when all layers are random."""
    methods = grouped(rows, lambda row: (row.configuration, row.method))
    return [_of_random_layers(layers) for layers in methods.values()]


def _of_random_layers(rows: Sequence[RandomizedLayer]) -> CheckVerdict:
    cascade = [row for row in rows if row.mode == "cascading"]
    depth = max(row.layers_random for row in cascade)
    last = [row for row in cascade if row.layers_random == depth]
    ssim = list(by_participant((row.participant_id, row.ssim) for row in last).values())
    ranks = list(by_participant((row.participant_id, row.spearman_abs) for row in last).values())
    passed, words = depends_on_weights(ssim, ranks)
    finite = np.array(ranks)[np.isfinite(ranks)]
    return CheckVerdict(
        configuration=rows[0].configuration,
        method=rows[0].method,
        check="randomization",
        n=len(ranks),
        value=float(np.median(finite)) if finite.size else None,
        passed=passed,
        verdict=words,
    )


def localization_verdicts(rows: Iterable[LocalizationRow]) -> list[CheckVerdict]:
    """Return of each method and region whether the highest voxel lies in it in half of true
    positives."""
    regions = grouped(rows, lambda row: (row.configuration, row.method, row.region))
    return [_of_region(maps) for maps in regions.values()]


def _of_region(rows: Sequence[LocalizationRow]) -> CheckVerdict:
    hits = [row for row in rows if row.outcome == "TP"]
    mass = _means(hits, lambda row: row.mass_accuracy)
    pointing = _means(hits, lambda row: row.pointing_game)
    passed, words = None, "no true positive with this region: undecided"
    if hits:
        share = float(pointing.mean())
        numbers = _location_numbers(hits, share, mass)
        if rows[0].region == MARKER:
            words = f"a shortcut, not the disease, if the network uses it; {numbers}"
        else:
            passed = share >= LEAST_HITS
            start = "passes: it points at the region" if passed else "fails: it points elsewhere"
            words = f"{start}; {numbers} ({100 * LEAST_HITS:g} % of true positives to pass)"
    return CheckVerdict(
        configuration=rows[0].configuration,
        method=rows[0].method,
        check="localization",
        region=rows[0].region,
        n=len(mass),
        value=float(mass.mean()) if mass.size else None,
        passed=passed,
        verdict=words,
    )


def _location_numbers(hits: Sequence[LocalizationRow], share: float, mass: Floats64) -> str:
    rank = _means(hits, lambda row: row.rank_accuracy)
    chance = _means(hits, lambda row: row.chance)
    empty = sum(row.mass_accuracy is None for row in hits)
    return (
        f"highest voxel in it in {100 * share:.0f} % of true positives, "
        f"{100 * mass.mean():.1f} % of the relevance, rank accuracy "
        f"{rank.mean():.2f}; the region is {100 * chance.mean():.2f} % of the grid"
    ) + (
        f"; {empty} of {len(hits)} maps have no positive relevance and count as 0" if empty else ""
    )


def _means(
    rows: Iterable[LocalizationRow], measure: Callable[[LocalizationRow], float | None]
) -> Floats64:
    """One mean a participant; a map without positive relevance finds nothing and counts as 0."""
    means = by_participant((row.participant_id, measure(row) or 0.0) for row in rows)
    return np.array(list(means.values()))


def conservation_verdicts(rows: Iterable[LayerSum]) -> list[CheckVerdict]:
    """Return of each method whether maps sum to what relevance started from."""
    methods = grouped(rows, lambda row: (row.configuration, row.method))
    return [_of_sums(sums) for sums in methods.values()]


def _of_sums(rows: Sequence[LayerSum]) -> CheckVerdict:
    comparable = [row for row in rows if row.share is not None]
    ends = [row for row in comparable if row.layer == MAP]
    ends = ends or list({(row.scan, row.split): row for row in comparable}.values())  # last layers
    shares = np.array([_or_nan(row.share) for row in ends])
    passed, words, value = None, "its maps have no known sum", None
    if shares.size:
        value = float(np.median(shares))
        passed = bool(np.abs(shares - 1).max() <= TOLERANCE)
        words = (
            f"passes: every map sums to where relevance started, within {TOLERANCE:g}"
            if passed
            else f"fails: its maps sum to {100 * value:.1f} % of the relevance at the start "
            f"(median; from {100 * shares.min():.1f} to {100 * shares.max():.1f} %, "
            f"100 ± {100 * TOLERANCE:g} % in every map to pass): biases, a stabiliser or units "
            "without input take the rest, or add it"
        )
    return CheckVerdict(
        configuration=rows[0].configuration,
        method=rows[0].method,
        check="conservation",
        n=len({row.participant_id for row in ends}),
        value=value,
        passed=passed,
        verdict=words,
    )


def grouped(rows: Iterable[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    """Return key → its rows, in their order."""
    groups: dict[Key, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def by_participant(values: Iterable[tuple[str, float | None]]) -> dict[str, float]:
    """Return participant → mean over the scans that have a value; NaN where none has."""
    scans: dict[str, list[float]] = {}
    for participant, value in values:
        defined = [] if value is None or not np.isfinite(value) else [value]
        scans.setdefault(participant, []).extend(defined)
    return {name: float(np.mean(v)) if v else float("nan") for name, v in scans.items()}


def _interval_of(values: Floats64) -> MeanInterval:
    mean, low, high = (float(part) for part in mean_interval(values))
    return mean, low, high


def _interval_words(interval: MeanInterval) -> str:
    mean, low, high = interval
    return f"{mean:.3f}" if np.isnan(low) else f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
