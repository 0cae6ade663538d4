"""From the scores of every network to the leaderboard, its summary, and what guidance did."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from leaderboard_plan import GUIDED_BY, TRAINED, UNTRAINED, Cohort

from bids_xai.core.ground_truth import (
    Interval,
    finds,
    found_from,
    interval,
    paired,
    participant_means,
    shortcut_verdict,
)

Row = Mapping[str, str]
Cells = dict[str, Any]
Means = dict[str, float]

MEASURES = ("mass_accuracy", "rank_accuracy", "pointing_game", "on_marker")
_OF_UNTRAINED = "the same of the untrained network"

LEADERBOARD_COLUMNS = {
    "cohort": "Simulated cohort",
    "kind": "Place of the effect: megre nuclei, t1w hippocampi and ventricles, flair lesions",
    "effect": "Mean effect in percent",
    "marker": "Whether the cohort has the shortcut",
    "configuration": "A plain, B skull-stripped, C relevance-guided",
    "method": "Attribution method",
    "n_networks": "Trainings",
    "n_participants": "Patients whose scans were explained",
    "accuracy": "Share of the test scans that the networks get right, as they are",
    "accuracy_without": "The same without markers; n/a where the cohort has none",
    "mass_accuracy": "Share of the positive relevance in the true region, mean",
    "mass_accuracy_untrained": _OF_UNTRAINED,
    "rank_accuracy": "Of the K highest voxels, K being the size of the region, the share in it",
    "rank_accuracy_untrained": _OF_UNTRAINED,
    "rank_gain_low": "rank_accuracy less that of the untrained network, 95 % interval, low end",
    "rank_gain_high": "The same, high end",
    "pointing_game": "Share of the patients whose highest voxel lies in the region or next to it",
    "pointing_game_untrained": _OF_UNTRAINED,
    "density_ratio": "Positive relevance per voxel, region over the rest of the brain, median",
    "density_ratio_untrained": _OF_UNTRAINED,
    "chance": "Share of the grid that the region makes up",
    "on_marker": "Share of the positive relevance on the marker, mean",
    "on_marker_untrained": _OF_UNTRAINED,
    "on_marker_gain_low": "on_marker less that of the untrained network, 95 % interval, low end",
    "on_marker_gain_high": "The same, high end",
    "finds": "Whether rank_gain_low is above 0 and pointing_game at least 0.5",
    "shows_marker": "Whether on_marker_gain_low is above 0",
    "seconds": "What a heatmap takes, mean",
}
SUMMARY_COLUMNS = {
    "kind": LEADERBOARD_COLUMNS["kind"],
    "configuration": LEADERBOARD_COLUMNS["configuration"],
    "method": "Attribution method",
    "found_from": "Smallest effect (percent) from which on the method finds the region in all "
    "cohorts without markers; n/a where it does not at the largest",
    "found_from_marked": "The same over the cohorts with markers",
    "found_at_zero": "Whether it 'finds' the region where there is no effect",
    "untrained_pointing": "Share of the patients whose highest voxel lies in the region although "
    "the network is untrained, largest of all cohorts",
    "rank_gain": "rank_accuracy less that of the untrained network, mean over the cohorts without "
    "markers and with an effect",
    "marker_used": "Cohorts with markers in which the networks use them (accuracy falls without)",
    "marker_shown": "Those of them in which the method shows it (shows_marker)",
}
GUIDANCE_COLUMNS = {
    "cohort": "Simulated cohort with markers",
    "configuration": "A plain, B skull-stripped, C relevance-guided",
    "n_participants": "Participants tested",
    "accuracy": "Share of the test scans that the networks get right, as they are",
    "accuracy_without": "The same without markers",
    "loss": "accuracy less accuracy_without, participant by participant",
    "loss_low": "95 % interval, low end",
    "loss_high": "High end",
    "on_marker": f"Share of the positive relevance of {GUIDED_BY} on the marker, mean",
    "on_marker_untrained": _OF_UNTRAINED,
    "methods_showing": "Methods whose relevance on the marker is above the untrained network's",
    "methods": "Methods",
    "less_used_low": "loss of A less that of this configuration, 95 % interval, low end",
    "less_used_high": "High end",
    "less_shown_low": "on_marker of A less that of this configuration, 95 % interval, low end",
    "less_shown_high": "High end",
    "verdict": "not used: A loses nothing without markers. removed: this one loses less than A, "
    "and its own interval holds 0. less: less than A, but something. hidden: it loses something, "
    "not less than A, and shows less. neither: the same, and shows as much. untold: neither a loss "
    "of its own nor a difference from that of A can be told",
}


@dataclass(frozen=True)
class Tables:
    """The three tables."""

    leaderboard: list[Cells]
    summary: list[Cells]
    guidance: list[Cells]


def tables(heatmaps: Sequence[Row], predictions: Sequence[Row]) -> Tables:
    """All tables from the rows of all networks."""
    scores, accuracies = Scores(heatmaps), Accuracies(predictions)
    board = [
        _board_row(scores, accuracies, cohort, configuration, method)
        for cohort, configuration, method in scores.keys
        if configuration in TRAINED
    ]
    return Tables(board, _summary(board, accuracies), _guidance(board, scores, accuracies))


class Scores:
    """Values of the heatmaps, by participant, over the networks of a configuration."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
        for row in rows:
            self._rows[row["cohort"], row["configuration"], row["method"]].append(row)
        self.keys = list(self._rows)

    def rows(self, cohort: str, configuration: str, method: str) -> list[Row]:
        """All rows of a method."""
        return self._rows[cohort, configuration, method]

    def means(self, cohort: str, configuration: str, method: str, measure: str) -> Means:
        """Participant → mean over the networks."""
        rows = self.rows(cohort, configuration, method)
        return participant_means(
            [number(row[measure]) for row in rows], [row["participant_id"] for row in rows]
        )


class Accuracies:
    """Who is right, by participant, over the networks of a configuration."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in rows:
            self._rows[row["cohort"], row["configuration"]].append(row)

    def right(self, cohort: str, configuration: str, column: str = "probability") -> Means:
        """Participant → share of the networks that are right; empty where there is no number."""
        rows = [row for row in self._rows[cohort, configuration] if row[column] != "n/a"]
        values = [float((number(row[column]) >= 0.5) == (row["true_class"] == "1")) for row in rows]
        return participant_means(values, [row["participant_id"] for row in rows])

    def loss(self, cohort: str, configuration: str) -> Means:
        """Participant → right with the marker less right without."""
        without = self.right(cohort, configuration, "probability_without")
        right = self.right(cohort, configuration)
        return {name: right[name] - without[name] for name in without}


def number(cell: str) -> float:
    """A cell as a number, NaN for n/a."""
    return float("nan") if cell == "n/a" else float(cell)


def mean(values: Mapping[str, float]) -> float:
    """Mean over the participants, NaN for none."""
    return sum(values.values()) / len(values) if values else float("nan")


def _board_row(
    scores: Scores, accuracies: Accuracies, cohort: str, configuration: str, method: str
) -> Cells:
    parsed, base = Cohort.parse(cohort), UNTRAINED[configuration]
    measured = {name: scores.means(cohort, configuration, method, name) for name in MEASURES}
    other = {name: scores.means(cohort, base, method, name) for name in MEASURES}
    gain = paired(measured["rank_accuracy"], other["rank_accuracy"])
    shown = paired(measured["on_marker"], other["on_marker"])
    rows = scores.rows(cohort, configuration, method)
    row: Cells = {
        "cohort": cohort,
        "kind": parsed.kind,
        "effect": parsed.effect,
        "marker": parsed.marker,
        "configuration": configuration,
        "method": method,
        "n_networks": len({row["repetition"] for row in rows}),
        "n_participants": len({row["participant_id"] for row in rows}),
        "accuracy": mean(accuracies.right(cohort, configuration)),
        "accuracy_without": mean(accuracies.right(cohort, configuration, "probability_without")),
        "rank_gain_low": gain.low,
        "rank_gain_high": gain.high,
        "on_marker_gain_low": shown.low,
        "on_marker_gain_high": shown.high,
        "density_ratio": _median(rows, "density_ratio"),
        "density_ratio_untrained": _median(scores.rows(cohort, base, method), "density_ratio"),
        "finds": finds(gain, mean(measured["pointing_game"])),
        "shows_marker": shown.above_zero if parsed.marker else None,
        "chance": _mean_of(rows, "chance"),
        "seconds": _mean_of(rows, "seconds"),
    }
    for name in MEASURES:
        row |= {name: mean(measured[name]), f"{name}_untrained": mean(other[name])}
    return row


def _median(rows: Sequence[Row], column: str) -> float:
    values = [number(row[column]) for row in rows if row[column] != "n/a"]
    return median(values) if values else float("nan")


def _mean_of(rows: Sequence[Row], column: str) -> float:
    return sum(number(row[column]) for row in rows) / len(rows)


def _summary(board: Sequence[Cells], accuracies: Accuracies) -> list[Cells]:
    groups: dict[tuple[str, str, str], list[Cells]] = defaultdict(list)
    for row in board:
        groups[row["kind"], row["configuration"], row["method"]].append(row)
    summary_rows = []
    for (kind, configuration, method), rows in groups.items():
        clean = [row for row in rows if not row["marker"]]
        marked = [row for row in rows if row["marker"]]
        gains = [
            row["rank_accuracy"] - row["rank_accuracy_untrained"]
            for row in clean
            if row["effect"] > 0
        ]
        used = [
            r
            for r in marked
            if interval([*accuracies.loss(r["cohort"], configuration).values()]).above_zero
        ]
        summary_rows.append(
            {
                "kind": kind,
                "configuration": configuration,
                "method": method,
                "found_from": found_from({row["effect"]: row["finds"] for row in clean}),
                "found_from_marked": found_from({row["effect"]: row["finds"] for row in marked}),
                "found_at_zero": next((row["finds"] for row in clean if row["effect"] == 0), None),
                "untrained_pointing": max(row["pointing_game_untrained"] for row in rows),
                "rank_gain": sum(gains) / len(gains) if gains else None,
                "marker_used": len(used) if marked else None,
                "marker_shown": sum(row["shows_marker"] for row in used) if marked else None,
            }
        )
    return summary_rows


def _guidance(board: Sequence[Cells], scores: Scores, accuracies: Accuracies) -> list[Cells]:
    cohorts = dict.fromkeys(row["cohort"] for row in board if row["marker"])
    return [
        _guidance_row(
            [row for row in board if row["cohort"] == cohort],
            scores,
            accuracies,
            cohort,
            configuration,
        )
        for cohort in cohorts
        for configuration in TRAINED
    ]


def _guidance_row(
    board: Sequence[Cells], scores: Scores, accuracies: Accuracies, cohort: str, configuration: str
) -> Cells:
    def shown(network: str) -> Means:
        return scores.means(cohort, network, GUIDED_BY, "on_marker")

    of_configuration = [row for row in board if row["configuration"] == configuration]
    losses, plain_losses = accuracies.loss(cohort, configuration), accuracies.loss(cohort, "A")
    loss, plain = _interval(losses), _interval(plain_losses)
    row: Cells = {
        "cohort": cohort,
        "configuration": configuration,
        "n_participants": loss.n,
        "accuracy": mean(accuracies.right(cohort, configuration)),
        "accuracy_without": mean(accuracies.right(cohort, configuration, "probability_without")),
        "loss": loss.mean,
        "loss_low": loss.low,
        "loss_high": loss.high,
        "on_marker": mean(shown(configuration)),
        "on_marker_untrained": mean(shown(UNTRAINED[configuration])),
        "methods_showing": sum(row["shows_marker"] for row in of_configuration),
        "methods": len(of_configuration),
    }
    if configuration == "A":
        return row
    less_used, less_shown = paired(plain_losses, losses), paired(shown("A"), shown(configuration))
    return row | {
        "less_used_low": less_used.low,
        "less_used_high": less_used.high,
        "less_shown_low": less_shown.low,
        "less_shown_high": less_shown.high,
        "verdict": shortcut_verdict(plain, loss, less_used, less_shown),
    }


def _interval(values: Mapping[str, float]) -> Interval:
    return interval(list(values.values()))
