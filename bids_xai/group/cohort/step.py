"""Step ``cohort``: who is in, who is not and why, and who is in which set of which split."""

from __future__ import annotations

import logging
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids_xai.bids.stamps import was_sloppy
from bids_xai.core.cohort.splits import check_no_leakage
from bids_xai.errors import BadDataError
from bids_xai.group.cohort.assignment import assign
from bids_xai.group.cohort.selection import (
    BALANCE_COLUMNS,
    Candidate,
    Selection,
    balance_rows,
    select_scans,
)
from bids_xai.group.context import COHORT_COLUMNS, LOG, SPLIT_COLUMNS, GroupContext, write_table
from bids_xai.group.maps import find_maps
from bids_xai.group.people import People, read_participants
from bids_xai.group.study_file import write_study

_AFTER_A_LOOK = (
    "; where the pages show that the scans are good, set cohort.exclude_failed_qc = false in a "
    "copy of the study"
)
_NO_MAP = "no input map among the derivatives"


@dataclass(frozen=True)
class Plan:
    """Everybody considered, and one ``sub-X -> set`` a split."""

    people: People
    selection: Selection
    splits: list[dict[str, str]]


def plan(context: GroupContext) -> Plan:
    """Select scans and split participants; nothing is written.

    Raises :class:`NoInputError` or :class:`BadDataError` where that cannot be done.
    """
    target = context.study.target
    needed = (target.column,) if target.table == "participants" else ()
    people = read_participants(context.settings.bids_dir, needed)
    selection = select_scans(context, people, find_maps(context, context.study.input))
    included = selection.included
    _say_selection(context, people, selection)
    _check_classes(context, selection)
    splits = assign(context, included)
    names = [one.participant for one in included]
    for split in splits:
        check_no_leakage(names, [split[name] for name in names])
    return Plan(people, selection, splits)


def _was_sloppy(context: GroupContext, one: Candidate) -> bool:
    label = f"{one.participant}_{one.session}" if one.session else one.participant
    return was_sloppy(context.output_dir, label)


def _say_selection(context: GroupContext, people: People, selection: Selection) -> None:
    """Who is in, before anything is asked of them; who is not and why, on demand."""
    included, classes = selection.included, context.study.target.names
    count = Counter(one.class_name for one in included)
    LOG.info(
        "cohort: %d scans of %d participants included (%s), %d scans left out",
        len(included),
        len({one.participant for one in included}),
        ", ".join(f"{count[name]} of {name}" for name in classes),
        len(selection.candidates) - len(included),
    )
    level = logging.INFO if context.settings.dry_run else logging.DEBUG
    for reason, n in Counter(one.reason for one in selection.candidates).most_common():
        if reason:
            LOG.log(level, "left out: %d scans, %s", n, reason)
    without = len({*people} - {one.participant for one in selection.candidates})
    if without:
        LOG.log(level, "left out: %d participants, %s", without, _NO_MAP)


def run(context: GroupContext) -> list[Path]:
    """Write ``study.json``, ``cohort.tsv``, ``splits.tsv`` and, after matching, ``balance.tsv``."""
    made = plan(context)
    split_rows = [
        {"participant_id": name, "split": k, "set": chosen}
        for k, split in enumerate(made.splits)
        for name, chosen in split.items()
    ]
    rows, columns = _cohort_rows(context, made.people, made.selection)
    sloppy = sum(_was_sloppy(context, one) for one in made.selection.included)
    if sloppy:
        LOG.warning(
            "%d of the scans were preprocessed with --sloppy, which is for tests only", sloppy
        )
    written = [
        write_study(context, sloppy_scans=sloppy),
        *write_table(context.folder / "cohort.tsv", rows, columns),
        *write_table(context.folder / "splits.tsv", split_rows, SPLIT_COLUMNS),
    ]
    balance = context.folder / "balance.tsv"
    if made.selection.balance:
        written += write_table(balance, balance_rows(made.selection), BALANCE_COLUMNS)
    else:
        for stale in (balance, balance.with_suffix(".json")):
            stale.unlink(missing_ok=True)
    return written


def _cohort_rows(
    context: GroupContext, people: People, selection: Selection
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """One row a scan, and one a participant without any; with the columns of the people."""
    first: dict[str, str] = next(iter(people.values()), {})
    extra = [name for name in first if name and name not in COHORT_COLUMNS]
    rows = [_row(context, one) | {n: one.row.get(n) for n in extra} for one in selection.candidates]
    found = {one.participant for one in selection.candidates}
    target = context.study.target
    rows += [
        {
            "participant_id": name,
            "class": row.get(target.column),
            "included": False,
            "reason": _NO_MAP,
            **{n: row.get(n) for n in extra},
        }
        for name, row in people.items()
        if name not in found
    ]
    rows.sort(key=lambda row: (row["participant_id"], str(row.get("map") or "")))
    return rows, COHORT_COLUMNS | dict.fromkeys(extra, "From participants.tsv")


def _row(context: GroupContext, one: Candidate) -> dict[str, Any]:
    def relative(path: Path | None) -> str | None:
        return None if path is None else os.path.relpath(path, context.output_dir)

    return {
        "participant_id": one.participant,
        "session_id": one.session or None,
        "class": one.class_name or None,
        "included": one.reason is None,
        "reason": one.reason,
        "map": relative(one.files.map),
        "mask": relative(one.files.mask),
        "to_template": relative(one.files.to_template),
    }


def _check_classes(context: GroupContext, selection: Selection) -> None:
    target = context.study.target
    present = {one.class_name for one in selection.included}
    missing = [name for name in target.names if name not in present]
    if not missing:
        return
    seen = sorted({one.class_name for one in selection.candidates if one.class_name})
    reasons = sorted(
        {
            f"{one.class_name}: {one.reason}"
            for one in selection.candidates
            if one.class_name in missing and one.reason
        }
    )
    few = "fewer than two classes" if len(present) < 2 else f"{len(missing)} classes are missing"
    raise BadDataError(
        f"{few}: no usable scan with {target.column} = {', '.join(missing)}"
        + (f" ({'; '.join(reasons[:3])})" if reasons else ""),
        file=context.settings.bids_dir / "participants.tsv",
        fix="run the participant level for scans of each class, or check the target of the study; "
        f"found {', '.join(seen)}" + (_AFTER_A_LOOK if "quality: " in str(reasons) else ""),
    )
