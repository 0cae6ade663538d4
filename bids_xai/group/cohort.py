"""Step ``cohort``: who is in, who is not and why, and who is in which set of which split."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from bids_xai.bids.names import parse_name
from bids_xai.core.splits import check_no_leakage, random_splits
from bids_xai.errors import BadDataError, NoInputError
from bids_xai.group.context import (
    COHORT_COLUMNS,
    LOG,
    SPLIT_COLUMNS,
    GroupContext,
    write_table,
)

_SETS = ("train", "validation", "test")
_QUOTES = 'remove stray quotes (")'


def run(context: GroupContext) -> list[Path]:
    """Write ``cohort.tsv`` and ``splits.tsv``."""
    people = read_participants(context.settings.bids_dir, context.study.target.column)
    rows = _cohort_rows(context, people)
    included = [row for row in rows if row["included"]]
    _check_classes(context, rows, included)
    covariates = _covariates(people)
    columns = COHORT_COLUMNS | dict.fromkeys(covariates, "From participants.tsv")
    for row in rows:
        row |= {name: people.get(row["participant_id"], {}).get(name) for name in covariates}
    names = [row["participant_id"] for row in included]
    shares = context.study.splits.fractions  # three thirds may be written 0.3333333
    splits = random_splits(
        names,
        [row["class"] for row in included],
        {name: share / sum(shares) for name, share in zip(_SETS, shares, strict=True)},
        context.study.splits.repeats,
        context.settings.random_seed,
    )
    for split in splits:
        check_no_leakage(names, [split[name] for name in names])
    split_rows = [
        {"participant_id": name, "split": k, "set": chosen}
        for k, split in enumerate(splits)
        for name, chosen in split.items()
    ]
    LOG.info(
        "cohort: %d scans of %d participants included, %d scans left out",
        len(included), len(set(names)), len(rows) - len(included),
    )  # fmt: skip
    return [
        *write_table(context.folder / "cohort.tsv", rows, columns),
        *write_table(context.folder / "splits.tsv", split_rows, SPLIT_COLUMNS),
    ]


def read_participants(bids_dir: Path, column: str) -> dict[str, dict[str, str]]:
    """Return ``sub-X`` → its row of participants.tsv.

    Raises :class:`NoInputError` without the file, :class:`BadDataError` without the column, for a
    broken table or a participant that is listed twice.
    """
    path = bids_dir / "participants.tsv"
    if not path.is_file():
        raise NoInputError(
            "participants.tsv is missing: the group level takes the classes from it",
            file=path,
            fix=f"add it with the columns participant_id and {column}",
        )
    header, rows = _read_table(path)
    for needed in ("participant_id", column):
        if needed not in header:
            raise BadDataError(
                f"no column '{needed}'",
                file=path,
                fix=f"add it, or name another as target.column; there are {', '.join(header)}",
            )
    people: dict[str, dict[str, str]] = {}
    lines: dict[str, int] = {}
    for line, row in rows:
        name = _with_prefix(row["participant_id"] or "")
        if name in people:
            raise BadDataError(
                f"{name} is listed twice, in lines {lines[name]} and {line}",
                file=path,
                fix="keep one line a participant",
            )
        people[name], lines[name] = row, line
    return people


def _read_table(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Return the header, and the number of the line and the cells of every row that has any."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, delimiter="\t", strict=True)
            header = list(reader.fieldnames or [])
            rows = [(reader.line_num, row) for row in reader if any(row.values())]
    except UnicodeDecodeError as error:
        raise BadDataError("the table is not UTF-8", file=path, fix="save it as UTF-8") from error
    except csv.Error as error:
        raise BadDataError(
            f"line {reader.line_num} of the table is broken ({error})", file=path, fix=_QUOTES
        ) from error
    for line, row in rows:
        if any("\n" in str(cell) or "\r" in str(cell) for cell in row.values()):
            raise BadDataError(
                f"a cell that ends in line {line} spans several lines", file=path, fix=_QUOTES
            )
    return header, rows


def _with_prefix(label: str) -> str:
    return f"sub-{label.removeprefix('sub-')}"


def _covariates(people: dict[str, dict[str, str]]) -> list[str]:
    first = next(iter(people.values()), {})
    return [name for name in first if name and name not in COHORT_COLUMNS]


def _cohort_rows(context: GroupContext, people: dict[str, dict[str, str]]) -> list[dict[str, Any]]:
    target = context.study.target
    rows: list[dict[str, Any]] = []
    maps = find_maps(context)
    for map_file in maps:
        entities, _, _ = parse_name(map_file.name)
        participant = f"sub-{entities['sub']}"
        value = people.get(participant, {}).get(target.column)
        files, problem = _companions(context, map_file)
        if participant not in people:
            problem = "not in participants.tsv"
        elif value not in (target.negative, target.positive):
            problem = f"{target.column} is {value or 'empty'}"
        rows.append(
            {
                "participant_id": participant,
                "session_id": f"ses-{entities['ses']}" if "ses" in entities else None,
                "class": value,
                "included": problem is None,
                "reason": problem,
                **files,
            }
        )
    found = {row["participant_id"] for row in rows}
    rows += [
        {"participant_id": name, "class": row.get(target.column), "included": False,
         "reason": "no input map among the derivatives"}
        for name, row in people.items() if name not in found
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (row["participant_id"], str(row.get("map") or "")))


def find_maps(context: GroupContext) -> list[Path]:
    """Return every input map among the participant derivatives.

    Raises :class:`NoInputError` where there is none.
    """
    study_input = context.study.input
    pattern = f"anat/*_space-{study_input.space}_{study_input.suffix}.nii.gz"
    root = context.output_dir
    found = sorted([*root.glob(f"sub-*/{pattern}"), *root.glob(f"sub-*/ses-*/{pattern}")])
    if not found:
        raise NoInputError(
            f"no *_space-{study_input.space}_{study_input.suffix}.nii.gz in the output folder",
            file=root,
            fix="run the participant level first, with megre among --inputs, into the same folder",
        )
    return found


def _companions(context: GroupContext, map_file: Path) -> tuple[dict[str, str], str | None]:
    """Return the mask and transform beside a map, and what is missing."""
    folder, root = map_file.parent, context.output_dir
    masks = [f for f in folder.glob("*_desc-brain_mask.nii.gz") if "_space-" not in f.name]
    transforms = sorted(folder.glob(f"*_from-T1w_to-{context.template}_mode-image_xfm.h5"))
    files = {"map": str(map_file.relative_to(root))}
    if len(masks) != 1 or len(transforms) != 1:
        return files, "brain mask or transform to the template missing"
    files["mask"] = str(masks[0].relative_to(root))
    files["to_template"] = str(transforms[0].relative_to(root))
    return files, None


def _check_classes(
    context: GroupContext, rows: list[dict[str, Any]], included: list[dict[str, Any]]
) -> None:
    target = context.study.target
    present = {row["class"] for row in included}
    missing = [name for name in (target.negative, target.positive) if name not in present]
    if missing:
        seen = sorted({str(row["class"]) for row in rows if row["class"]})
        raise BadDataError(
            f"fewer than two classes: no usable scan with {target.column} = {', '.join(missing)}",
            file=context.settings.bids_dir / "participants.tsv",
            fix="run the participant level for scans of both, or check target.negative and "
            f"target.positive of the study; found {', '.join(seen)}",
        )
