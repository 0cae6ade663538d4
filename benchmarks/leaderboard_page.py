"""The results of the ground-truth benchmark in words and tables; everything from its tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from leaderboard_plan import CONFIGURATIONS, GUIDED_BY, PLACES, SIZES, TRAINED, Cohort
from leaderboard_table import number

from bids_xai.core.ground_truth import (
    HIDDEN,
    LEAST_POINTING,
    LESS,
    NEITHER,
    NOT_USED,
    REMOVED,
    UNTOLD,
)
from bids_xai.errors import BadDataError

Row = Mapping[str, str]

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
_FLAT = "n/a"
_VERDICTS = {
    NOT_USED: "A loses no accuracy that could be told without markers: there is nothing to remove",
    REMOVED: "stopped using it: it loses less than A, and no loss of its own could be told",
    LESS: "uses it less than A, but still uses it",
    HIDDEN: "only stopped showing it: it loses accuracy without markers, not less than A that "
    "could be told, and shows less",
    NEITHER: "neither stopped using it nor stopped showing it",
    UNTOLD: "it cannot be told whether it uses it: neither a loss of its own nor a difference from "
    "the loss of A could be told",
}


def inserted(page: str, results: str) -> str:
    """The page with its results replaced.

    Raises :class:`BadDataError` for a page without the two markers.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BadDataError(
            "the page does not say where results go", fix=f"put {BEGIN} and {END} into it"
        )
    return f"{before}{BEGIN}\n\n{results.strip()}\n\n{END}{after}"


def results(
    size: str, board: Sequence[Row], summary: Sequence[Row], guidance: Sequence[Row]
) -> str:
    """All that the tables say (Markdown)."""
    parts = [_made_of(size, board), _networks(board)]
    parts += [_ranking(kind, board, summary) for kind in _unique(summary, "kind")]
    parts += [_fooled(board, summary)]
    parts += [_shortcut(guidance)] if guidance else []
    return "\n\n".join(parts)


def _made_of(size: str, board: Sequence[Row]) -> str:
    plan, first = SIZES[size], board[0]
    cohorts = _unique(board, "cohort")
    return (
        f"Size `{size}`: {len(cohorts)} cohorts of {plan.n_participants} participants "
        f"({plan.n_training} train, {2 * plan.validation} validate, {2 * plan.test} are tested); "
        f"{first['n_networks']} trainings of {plan.epochs} epochs a configuration; scans of up to "
        f"{plan.explained} patients explained by each of "
        f"{len(_unique(board, 'method'))} methods."
    )


def _networks(board: Sequence[Row]) -> str:
    """What the networks got right: where they learnt nothing, nothing can be shown."""
    lines = []
    for cohort in _unique(board, "cohort"):
        rows = {row["configuration"]: row for row in board if row["cohort"] == cohort}
        parsed = Cohort.parse(cohort)
        cells = [
            _two(rows[configuration]["accuracy"])
            + (f" / {_two(rows[configuration]['accuracy_without'])}" if parsed.marker else "")
            for configuration in TRAINED
        ]
        lines.append(
            [parsed.kind, f"{parsed.effect:g} %", "yes" if parsed.marker else "no", *cells]
        )
    return (
        "### How well the networks classify\n\n"
        "Accuracy on the test scans; with markers / of the same scans without them. 0.5 is chance. "
        "A method can show a region only where the network uses it.\n\n"
        + _table(["Place", "Effect", "Markers", *TRAINED], lines)
    )


def _ranking(kind: str, board: Sequence[Row], summary: Sequence[Row]) -> str:
    """Which methods find one region."""
    of_kind = [row for row in summary if row["kind"] == kind]
    effects = sorted(
        {number(row["effect"]) for row in board if row["kind"] == kind and row["marker"] == "false"}
    )
    by_method = {
        name: {row["configuration"]: row for row in of_kind if row["method"] == name}
        for name in _unique(of_kind, "method")
    }
    order = sorted(by_method, key=lambda name: _rank(by_method[name]["A"]))
    lines = [
        [
            f"`{name}`",
            *(_from(by_method[name][configuration]["found_from"]) for configuration in TRAINED),
            *(_signed(by_method[name][configuration]["rank_gain"]) for configuration in TRAINED),
        ]
        for name in order
    ]
    header = [
        "Method",
        *(f"{configuration}: from" for configuration in TRAINED),
        *(f"{configuration}: gain" for configuration in TRAINED),
    ]
    tested = ", ".join(f"{effect:g}" for effect in effects)
    return (
        f"### {kind}: {PLACES[kind]}\n\n"
        f"Effects tested: {tested} %, without markers. *From*: the smallest effect from which on "
        "the method finds the region. *Gain*: rank accuracy above that of the untrained network, "
        "mean over the effects above 0.\n\n"
        + _table(header, lines)
        + "\n\n"
        + _finding(kind, of_kind)
    )


def _rank(row: Row) -> tuple[float, float]:
    effect = number(row["found_from"])
    gain = number(row["rank_gain"])
    return (float("inf") if effect != effect else effect, 0.0 if gain != gain else -gain)


def _finding(kind: str, rows: Sequence[Row]) -> str:
    sentences = []
    for configuration in TRAINED:
        title = f"Configuration {configuration} ({CONFIGURATIONS[configuration]})"
        of_configuration = [row for row in rows if row["configuration"] == configuration]
        by_effect: dict[float, list[str]] = {}
        for row in of_configuration:
            if row["found_from"] != _FLAT:
                by_effect.setdefault(number(row["found_from"]), []).append(row["method"])
        if by_effect:
            earliest = min(by_effect)
            n = sum(map(len, by_effect.values()))
            sentences.append(
                f"{title}: {n} of {len(of_configuration)} methods find the region at the "
                f"largest effect; from {earliest:g} % on: "
                f"{_names(by_effect[earliest])}."
            )
        else:
            sentences.append(f"{title}: no method finds the region at the largest effect.")
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _fooled(board: Sequence[Row], summary: Sequence[Row]) -> str:
    """Heatmaps that point at the region for a wrong reason, and those that miss the marker."""
    by_image = _cases(row for row in summary if number(row["untrained_pointing"]) >= LEAST_POINTING)
    at_zero = _cases(row for row in summary if row["found_at_zero"] == "true")
    asked = [row for row in summary if number(row["marker_used"]) > 0]
    missed = _cases(
        row for row in asked if number(row["marker_shown"]) < number(row["marker_used"])
    )
    lines = [
        "**By the image.** Methods whose highest voxel lies in the region in at least half of the "
        f"patients although the network is untrained: {by_image or 'none'}.",
        "**By nothing.** Methods that 'find' the region in a cohort without effect: "
        + (at_zero or "none")
        + ".",
    ]
    if asked:
        lines.append(
            "**By the marker.** Methods that do not show the marker in every cohort in which the "
            f"networks lose accuracy without it: {missed or 'none'}."
        )
    elif any(row["marker_used"] != _FLAT for row in summary):
        lines.append("**By the marker.** No network lost accuracy without it that could be told.")
    return "### Which methods are fooled\n\n" + "\n".join(f"- {line}" for line in lines)


def _cases(rows: Iterable[Row]) -> str:
    """``lrp-0 (megre: A, C; t1w: A)``."""
    methods_of: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        kinds = methods_of.setdefault(row["method"], {})
        kinds.setdefault(row["kind"], []).append(row["configuration"])
    return ", ".join(
        f"`{name}` ({'; '.join(f'{kind}: ' + ', '.join(c) for kind, c in kinds.items())})"
        for name, kinds in methods_of.items()
    )


def _shortcut(guidance: Sequence[Row]) -> str:
    """Accuracy without the cheat against relevance on it."""
    lines = []
    sentences = []
    for row in guidance:
        lines.append(
            [
                row["cohort"],
                row["configuration"],
                _two(row["accuracy"]),
                _two(row["accuracy_without"]),
                f"{_two(row['loss'])} ({_two(row['loss_low'])} to {_two(row['loss_high'])})",
                f"{_percent(row['on_marker'])} ({_percent(row['on_marker_untrained'])})",
                f"{row['methods_showing']} of {row['methods']}",
            ]
        )
        if row["configuration"] == "C":
            sentences.append(
                f"`{row['cohort']}`: {_VERDICTS[row['verdict']]}. Accuracy without markers "
                f"{_two(_plain(guidance, row)['accuracy_without'])} (A) and "
                f"{_two(row['accuracy_without'])} (C); relevance on the marker "
                f"{_percent(_plain(guidance, row)['on_marker'])} and {_percent(row['on_marker'])}; "
                f"methods that show the marker {_plain(guidance, row)['methods_showing']} and "
                f"{row['methods_showing']} of {row['methods']}."
            )
    header = [
        "Cohort",
        "",
        "Accuracy",
        "without markers",
        "Loss (95 % interval)",
        "Relevance on the marker (untrained)",
        "Methods that show it",
    ]
    return (
        "### The shortcut: not used, or not shown?\n\n"
        f"Relevance on the marker is that of `{GUIDED_BY}`, which guidance trains.\n\n"
        + _table(header, lines)
        + "\n\nConfiguration C against A:\n\n"
        + "\n".join(f"- {sentence}" for sentence in sentences)
    )


def _plain(guidance: Sequence[Row], row: Row) -> Row:
    """Configuration A of the same cohort."""
    return next(
        other
        for other in guidance
        if other["cohort"] == row["cohort"] and other["configuration"] == "A"
    )


def _unique(rows: Iterable[Row], column: str) -> list[str]:
    return list(dict.fromkeys(row[column] for row in rows))


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _from(cell: str) -> str:
    return "–" if cell == _FLAT else f"{number(cell):g} %"


def _two(cell: str) -> str:
    return "–" if cell == _FLAT else f"{number(cell):.2f}"


def _signed(cell: str) -> str:
    return "–" if cell == _FLAT else f"{number(cell):+.2f}"


def _percent(cell: str) -> str:
    return "–" if cell == _FLAT else f"{100 * number(cell):.1f} %"


def _table(header: Sequence[Any], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    rows = [list(map(str, header)), ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
