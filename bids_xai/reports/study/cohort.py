"""Who is in the study: what was left out and why, classes and sets in numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from bids_xai.errors import BadDataError
from bids_xai.reports.blocks import Block, TableBlock, Text
from bids_xai.reports.study.balance import balance
from bids_xai.reports.study.rows import grouped, text_of
from bids_xai.reports.study_files import StudyFiles, section
from bids_xai.tables.cohort import COHORT, SPLITS, CohortScan
from bids_xai.tables.numbers import mean_sd, plural

SETS = ("train", "validation", "test")
_STAGES = (".*(does not meet|needed for): ", "quality: ", "undersampled: ", "matching: ")
_MOST_REASONS = 6


def class_names(study: StudyFiles, scans: Sequence[CohortScan]) -> tuple[str, ...]:
    """Return the study's classes; those of its scans where no file says more."""
    if study.has_classes:
        return study.names
    return tuple(sorted({text_of(scan.class_name) for scan in scans}))


def left_out_words(rows: Sequence[CohortScan]) -> str:
    """``Excluded: 7 scans and 1 participant without a map.``, nothing for no lines."""
    n_scans = _n_scans(rows)
    parts = [plural(n_scans, "scan")] if n_scans else []
    if n_scans < len(rows):
        parts.append(f"{plural(len(rows) - n_scans, 'participant')} without a map")
    return f" Excluded: {' and '.join(parts)}." if parts else ""


def n_participants(rows: Sequence[CohortScan]) -> int:
    """Return the number of different participants."""
    return len({row.participant_id for row in rows})


def _n_scans(rows: Sequence[CohortScan]) -> int:
    """Lines of the cohort that are scans: the others are participants without any."""
    return sum(row.map_file is not None for row in rows)


@section("Cohort")
def cohort(study: StudyFiles) -> list[Block]:
    """Return who was left out and why, counts, age and sex of the classes, balance and sets."""
    rows = study.rows(COHORT)
    if not rows:
        return [study.missing(COHORT)]
    excluded = any(not row.included for row in rows)
    return [
        _flow(rows) if excluded else Text("No scan was excluded."),
        _by_class(study, rows),
        *balance(study),
        _sets(study),
    ]


def _flow(rows: Sequence[CohortScan]) -> TableBlock:
    """From all considered to those used; reasons in the order in which the rules are applied."""
    remaining = list(rows)
    lines = [("Considered", *_sizes(remaining), *_sizes(remaining))]
    for label, part in _reasons([row for row in rows if not row.included]):
        gone = set(map(id, part))
        remaining = [row for row in remaining if id(row) not in gone]
        lines.append((f"Excluded: {label}", *_sizes(part), *_sizes(remaining)))
    lines.append(("Used", *_sizes(remaining), *_sizes(remaining)))
    header = ("Step", "Scans", "Participants", "Scans remaining", "Participants remaining")
    caption = (
        "From everything that was considered to what was used. A participant counts in each line "
        "that affects any of its scans, and remains as long as one scan does."
    )
    return TableBlock(caption, header, tuple(lines))


def _sizes(rows: Sequence[CohortScan]) -> tuple[str, str]:
    return str(_n_scans(rows)), str(n_participants(rows))


def _reasons(rows: Sequence[CohortScan]) -> list[tuple[str, list[CohortScan]]]:
    """Reason → its lines: the rules in order, their frequent reasons first, rare ones together."""
    parts: list[tuple[str, list[CohortScan]]] = []
    for stage, lines in sorted(grouped(rows, lambda row: _stage(text_of(row.reason))).items()):
        reasons = grouped(lines, lambda row: text_of(row.reason))
        order = sorted(reasons, key=lambda reason: (-len(reasons[reason]), reason))
        # a lone rare reason takes no more room than a line for several
        shown = order if len(order) <= _MOST_REASONS + 1 else order[:_MOST_REASONS]
        parts += [(reason, reasons[reason]) for reason in shown]
        rest = [row for row in lines if text_of(row.reason) not in shown]
        if rest:
            kind = "quality, " if stage == _STAGES.index("quality: ") + 1 else ""
            parts.append((f"{kind}{len(order) - len(shown)} other reasons", rest))
    return parts


def _stage(reason: str) -> int:
    """Number of the rule that gives such a reason: 0 for class and files."""
    return next((i for i, start in enumerate(_STAGES, 1) if re.match(start, reason)), 0)


def _by_class(study: StudyFiles, rows: Sequence[CohortScan]) -> TableBlock:
    scans = [row for row in rows if row.included]
    names = class_names(study, scans)
    groups = [[scan for scan in scans if scan.class_name == name] for name in names]
    lines = [
        ("Participants", *(str(n_participants(group)) for group in groups)),
        ("Scans", *(str(len(group)) for group in groups)),
    ]
    columns = rows[0].participant
    if "age" in columns:
        ages = (mean_sd(map(_age, group)) for group in groups)
        lines.append(("Age (years, mean ± sd over scans)", *ages))
    if "sex" in columns:
        lines.append(("Sex (participants)", *map(_sexes, groups)))
    return TableBlock("Scans that were used, by class", ("", *names), tuple(lines))


def _age(scan: CohortScan) -> float | None:
    text = scan.participant.get("age")
    try:
        return float(text) if text else None
    except ValueError as error:
        raise BadDataError(
            f"the column age of {COHORT.file} contains something that is not a number ({error})",
            fix="correct participants.tsv",
        ) from error


def _sexes(scans: Sequence[CohortScan]) -> str:
    first = {scan.participant_id: scan for scan in reversed(scans)}
    counts = Counter(text_of(scan.participant.get("sex")) for scan in first.values())
    return ", ".join(f"{n} {sex}" for sex, n in sorted(counts.items()))


def _sets(study: StudyFiles) -> Block:
    rows = study.rows(SPLITS)
    if not rows:
        return study.missing(SPLITS)
    shared, lines = 0, []
    for split, members in sorted(grouped(rows, lambda row: row.split).items()):
        people = grouped(members, lambda row: row.participant_id)
        shared += sum(len({row.set_name for row in lines_of}) > 1 for lines_of in people.values())
        sets = grouped(
            {(row.set_name, row.participant_id) for row in members}, lambda pair: pair[0]
        )
        lines.append((str(split), *(str(len(sets.get(name, ()))) for name in SETS)))
    header = ("Split", *(name.capitalize() for name in SETS))
    checked = (
        f"WRONG: {plural(shared, 'participant')} in two sets of the same split"
        if shared
        else "checked: nobody is in two sets of the same split"
    )
    return TableBlock(f"Participants in each set ({checked})", header, tuple(lines))
