"""From the tables of the step ``quality`` to verdicts in words, each with its threshold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from bids_xai.attribution.randomization import verdict as depends_on_weights
from bids_xai.bids.names import scan_name
from bids_xai.core.perturbation import FEWEST, mean_interval
from bids_xai.group.trust.conservation import MAP
from bids_xai.group.trust.scans import Row
from bids_xai.studies.tables import Target

SUMMARY_COLUMNS = {
    "configuration": "Configuration of the study",
    "split": "Number of the split, from 0; n/a for all together",
    "method": "Attribution method; n/a for a check of the network",
    "check": "network, aopc, randomization, localization or conservation",
    "region": "True region, for localization",
    "n": "Participants (network: scans)",
    "value": "network: range of the probabilities over scans; aopc: AOPC of morf; randomization: "
    "rank correlation of absolute values with all layers random; localization: mass accuracy; "
    "conservation: share of the relevance that is kept",
    "passed": "true, false, or n/a where it cannot be told",
    "verdict": "The same in words",
}
LEAST_RANGE = 0.05
"""Networks whose probabilities differ less over all test scans count as constant."""
TOLERANCE = 1e-3
"""Largest loss of relevance of a method that conserves it."""
MARKER = "marker"
"""Region of simulated cohorts that is a shortcut, not the disease."""

_Key = tuple[str, ...]


def network_verdicts(rows: Iterable[Row], target: Target) -> list[dict[str, Any]]:
    """Of each network, whether what it says depends on the scan (rows of ``predictions.tsv``)."""
    found = []
    for (configuration, split), mine in _groups(rows, "configuration", "split").items():
        names = [f"probability_{name}" for name in target.names]
        columns = names if len(names) > 2 else ["probability"]
        values = np.array([[float(row[column]) for column in columns] for row in mine])
        scans = {scan_name(Path(row["relevance"]).name) for row in mine}
        spread = float(np.ptp(values, axis=0).max())
        passed = None if len(scans) < 2 else spread >= LEAST_RANGE
        if passed is None:
            words = "one scan only: it cannot be told whether the network is constant"
        elif passed:
            words = f"passes: its probabilities range over {spread:.2g}"
        else:
            words = (
                f"fails: the network says the same of every scan (probabilities range over "
                f"{spread:.1g}, {LEAST_RANGE:g} to pass). Its heatmaps mean nothing, though those "
                "of lrp-zplus still sum to 1"
            )
        found.append(
            {
                "configuration": configuration,
                "split": split,
                "check": "network",
                "n": len(scans),
                "value": spread,
                "passed": passed,
                "verdict": words,
            }
        )
    return found


def aopc_verdicts(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Of each method, whether its curve lies above the random one, and that above ``lerf``."""
    found = []
    for (configuration, method), mine in _groups(rows, "configuration", "method").items():
        areas = {order: final_areas(mine, order) for order in ("morf", "random", "lerf")}
        people = sorted(areas["morf"])
        most, chance, least = (np.array([areas[o][p] for p in people]) for o in areas)
        above, below = (
            tuple(float(x) for x in mean_interval(difference))
            for difference in (most - chance, chance - least)
        )
        steps = max(int(row["step"]) for row in mine)
        enough = len(people) >= FEWEST and steps > 0
        passed = above[1] > 0 and below[0] > 0 if enough else None
        words = {
            None: f"only {len(people)} participants, {FEWEST} or more to tell"
            if steps
            else "no step was taken: there are fewer cubes than one step replaces",
            True: "passes: most relevant first lies above random, and random above least relevant "
            "first",
            False: "fails: "
            + " and ".join(
                filter(
                    None,
                    (
                        "" if above[1] > 0 else "most relevant first does not lie above random",
                        "" if below[0] > 0 else "random does not lie above least relevant first",
                    ),
                )
            ),
        }[passed]
        numbers = (
            f"AOPC {most.mean():.3f} most relevant first, {chance.mean():.3f} random, "
            f"{least.mean():.3f} least relevant first; differences {_interval(above)} and "
            f"{_interval(below)} (mean and 95 % interval over participants; to pass, the first "
            "interval and the second mean must be above 0)"
        )
        found.append(
            {
                "configuration": configuration,
                "method": method,
                "check": "aopc",
                "n": len(people),
                "value": float(most.mean()),
                "passed": passed,
                "verdict": f"{words}; {numbers}",
            }
        )
    return found


def final_areas(rows: Iterable[Row], order: str) -> dict[str, float]:
    """Participant → AOPC of the last step, mean over the participant's scans."""
    last: dict[_Key, tuple[int, float]] = {}
    for row in rows:
        key = (row["participant_id"], row["scan"], row["split"])
        if row["order"] == order and int(row["step"]) >= last.get(key, (0, 0.0))[0]:
            last[key] = (int(row["step"]), float(row["aopc"]))
    return _by_person((key[0], area) for key, (_, area) in last.items())


def randomization_verdicts(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Of each method, whether its maps change when all layers are random."""
    found = []
    for (configuration, method), mine in _groups(rows, "configuration", "method").items():
        cascade = [row for row in mine if row["mode"] == "cascading"]
        depth = max(int(row["layers_random"]) for row in cascade)
        last = [row for row in cascade if int(row["layers_random"]) == depth]
        ssim, ranks = (
            list(_by_person((row["participant_id"], _number(row[c])) for row in last).values())
            for c in ("ssim", "spearman_abs")
        )
        passed, words = depends_on_weights(ssim, ranks)
        finite = np.array(ranks)[np.isfinite(ranks)]
        value = float(np.median(finite)) if finite.size else None
        found.append(
            {
                "configuration": configuration,
                "method": method,
                "check": "randomization",
                "n": len(ranks),
                "value": value,
                "passed": passed,
                "verdict": words,
            }
        )
    return found


def localization_verdicts(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Of each method and region, whether the highest voxel lies in it in half of true positives."""
    found = []
    keys = ("configuration", "method", "region")
    for (configuration, method, region), mine in _groups(rows, *keys).items():
        hits = [row for row in mine if row["outcome"] == "TP"]
        mass, rank, point, chance = (
            np.array(
                list(_by_person((row["participant_id"], _or_zero(row[c])) for row in hits).values())
            )
            for c in ("mass_accuracy", "rank_accuracy", "pointing_game", "chance")
        )
        passed, words = None, "no true positive with this region: it cannot be told"
        if point.size:
            share = float(point.mean())
            numbers = (
                f"highest voxel in it in {100 * share:.0f} % of true positives, "
                f"{100 * mass.mean():.1f} % of the relevance, rank accuracy "
                f"{rank.mean():.2f}; the region is {100 * chance.mean():.2f} % of the grid"
            )
            empty = sum(row["mass_accuracy"] == "n/a" for row in hits)
            if empty:
                numbers += (
                    f"; {empty} of {len(hits)} maps have no positive relevance and count as 0"
                )
            if region == MARKER:
                words = f"a shortcut, not the disease, if the network uses it; {numbers}"
            else:
                passed = share >= 0.5
                said = (
                    "passes: it points at the region" if passed else ("fails: it points elsewhere")
                )
                words = f"{said}; {numbers} (50 % of true positives to pass)"
        found.append(
            {
                "configuration": configuration,
                "method": method,
                "check": "localization",
                "region": region,
                "n": len(mass),
                "passed": passed,
                "verdict": words,
                "value": float(mass.mean()) if mass.size else None,
            }
        )
    return found


def conservation_verdicts(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Of each method, whether maps sum to what relevance started from."""
    found = []
    for (configuration, method), mine in _groups(rows, "configuration", "method").items():
        ends = [row for row in mine if row["layer"] == MAP and row["share"] != "n/a"]
        ends = ends or _last_layers(mine)
        shares = np.array([float(row["share"]) for row in ends])
        passed, words, value = None, "its maps sum to nothing known", None
        if shares.size:
            value = float(np.median(shares))
            passed = bool(np.abs(shares - 1).max() <= TOLERANCE)
            words = (
                f"passes: every map sums to where relevance started, within {TOLERANCE:g}"
                if passed
                else f"fails: its maps hold {100 * value:.1f} % of what relevance started from "
                f"(median; from {100 * shares.min():.1f} to {100 * shares.max():.1f} %, "
                "100 ± 0.1 % in every map to pass): biases, a stabiliser or units without input "
                "take the rest, or add it"
            )
        people = {row["participant_id"] for row in ends}
        found.append(
            {
                "configuration": configuration,
                "method": method,
                "check": "conservation",
                "n": len(people),
                "value": value,
                "passed": passed,
                "verdict": words,
            }
        )
    return found


def _last_layers(rows: list[Row]) -> list[Row]:
    """Of every scan, the row next to the input (tables go from the output down)."""
    last = {
        (row["scan"], row["split"]): row
        for row in rows
        if row["layer"] != MAP and row["share"] != "n/a"
    }
    return list(last.values())


def _groups(rows: Iterable[Row], *columns: str) -> dict[_Key, list[Row]]:
    found: dict[_Key, list[Row]] = defaultdict(list)
    for row in rows:
        found[tuple(row[column] for column in columns)].append(row)
    return found


def _by_person(values: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Participant → mean over the scans that have a value; NaN where none has."""
    found: dict[str, list[float]] = defaultdict(list)
    for person, value in values:
        found[person] += [value] if np.isfinite(value) else []
    return {person: float(np.mean(v)) if v else float("nan") for person, v in found.items()}


def _interval(values: tuple[float, ...]) -> str:
    mean, low, high = values
    return f"{mean:.3f}" if np.isnan(low) else f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def _or_zero(text: str) -> float:
    """A measure of localisation; 0 for a map without positive relevance, which finds nothing."""
    return 0.0 if text == "n/a" else float(text)


def _number(text: str) -> float:
    return float("nan") if text == "n/a" else float(text)
