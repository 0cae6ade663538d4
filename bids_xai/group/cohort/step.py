"""Step ``cohort``: who is in, who is not and why, and who is in which set of which split."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bids_xai.bids.stamps import was_sloppy
from bids_xai.core.cohort.splits import check_no_leakage
from bids_xai.errors import BadDataError
from bids_xai.group.cohort.assignment import ListedMember, Split, assign, read_listed
from bids_xai.group.cohort.doubles import NearCopy, compare_scans
from bids_xai.group.cohort.selection import Candidate, Dataset, ScanSelection, select_scans
from bids_xai.group.cohort.withdrawn import withdrawn_sessions
from bids_xai.group.context import LOG, GroupContext
from bids_xai.group.maps import MapFiles
from bids_xai.group.people import People, read_participants, read_sessions
from bids_xai.group.study_file import write_study
from bids_xai.studies.tables import Study
from bids_xai.tables.cohort import BALANCE, COHORT, SPLITS, Balance, CohortScan, SplitMember
from bids_xai.tables.qc import SESSION_QC, Measure, qc_file

_AFTER_A_LOOK = (
    "; if the pages show that the scans are good, set cohort.exclude_failed_qc = false in a "
    "copy of the study"
)
_NO_MAP = "no input map among the derivatives"


@dataclass(frozen=True)
class CohortInputs:
    """What a cohort is selected from.

    listed : splits that the study gives in a table; participants_file : for messages
    """

    dataset: Dataset
    study: Study
    seed: int
    listed: tuple[ListedMember, ...]
    participants_file: Path


@dataclass(frozen=True)
class CohortPlan:
    """Everybody considered, and one ``sub-X -> set`` a split."""

    people: People
    selection: ScanSelection
    splits: list[Split]


def run(context: GroupContext) -> list[Path]:
    """Write ``study.json``, ``cohort.tsv``, ``splits.tsv`` and, after matching, ``balance.tsv``."""
    cohort = plan(read(context))
    study, folder, settings = context.study, context.folder, context.settings
    cohort, near = with_values(cohort, folder, settings.nprocs)
    n_sloppy = _count_sloppy(cohort.selection.included, context.output_dir)
    if n_sloppy:
        LOG.warning(
            "%d of the scans were preprocessed with --sloppy, which is for tests only", n_sloppy
        )
    file = write_study(
        folder,
        study,
        template=context.template,
        seed=settings.random_seed,
        sloppy=settings.sloppy,
        sloppy_scans=n_sloppy,
        near_copies=[asdict(pair) for pair in near],
    )
    return [file, *write(cohort, study.target.column, folder, context.output_dir)]


def read(context: GroupContext) -> CohortInputs:
    """Return the people, their maps and the quality of these, as far as the study asks for it.

    Raises :class:`NoInputError` or :class:`BadDataError` for what is missing or damaged.
    """
    study, bids_dir = context.study, context.settings.bids_dir
    target, of_sessions = study.target, study.target.table == "sessions"
    people = read_participants(bids_dir, () if of_sessions else (target.column,))
    maps = tuple(context.map_source.maps(study.input))
    participants = dict.fromkeys(files.participant for files in maps)
    sessions = {(files.participant, files.session) for files in maps}
    asked = () if context.settings.keep_withdrawn else sessions
    withdrawn = withdrawn_sessions(bids_dir, asked, own=not study.input.derivatives)
    visits = {
        participant: read_sessions(bids_dir, participant, (target.column,))
        for participant in (participants if of_sessions else ())
    }
    return CohortInputs(
        Dataset(
            people,
            visits,
            maps,
            _quality(maps) if study.cohort.exclude_failed_qc else {},
            withdrawn,
        ),
        study,
        context.settings.random_seed,
        tuple(read_listed(Path(study.splits.file))) if study.splits.scheme == "fixed" else (),
        bids_dir / "participants.tsv",
    )


def _quality(maps: Iterable[MapFiles]) -> dict[Path, tuple[Measure, ...]]:
    """Folder of a map → the measures of its session, where it has a quality table."""
    tables = {folder: qc_file(folder) for folder in {files.map.parent for files in maps}}
    return {
        folder: tuple(SESSION_QC.read(table))
        for folder, table in tables.items()
        if table is not None
    }


def plan(inputs: CohortInputs, *, details: int = logging.DEBUG) -> CohortPlan:
    """Select scans and split participants; nothing is written.

    details : level of the log that tells why scans are left out
    Raises :class:`BadDataError` where that cannot be done.
    """
    people, study = inputs.dataset.people, inputs.study
    selection = select_scans(inputs.dataset, study, inputs.seed)
    _log_selection(people, selection, study.target.names, details)
    _check_classes(inputs, selection)
    splits = assign(study.splits, selection.included, inputs.seed, inputs.listed)
    names = [candidate.participant for candidate in selection.included]
    for split in splits:
        check_no_leakage(names, [split[name] for name in names])
    return CohortPlan(people, selection, splits)


def with_values(
    cohort: CohortPlan, folder: Path, n_threads: int
) -> tuple[CohortPlan, tuple[NearCopy, ...]]:
    """Read the maps that take part: the cohort with their values, and near copies among them.

    folder : of the study. Raises :class:`BadDataError` for one scan under two participants.
    """
    selection = cohort.selection
    compared = compare_scans(selection.included, folder, n_threads)
    values = iter(compared.prints)
    candidates = tuple(
        scan if scan.reason else replace(scan, quantiles=next(values).quantiles)
        for scan in selection.candidates
    )
    return replace(cohort, selection=replace(selection, candidates=candidates)), compared.near


def _count_sloppy(candidates: Iterable[Candidate], output_dir: Path) -> int:
    """How many scans were preprocessed with ``--sloppy``."""
    labels = (
        f"{candidate.participant}_{candidate.session}"
        if candidate.session
        else candidate.participant
        for candidate in candidates
    )
    return sum(was_sloppy(output_dir, label) for label in labels)


def _log_selection(
    people: People, selection: ScanSelection, classes: Iterable[str], details: int
) -> None:
    """Who is in, before anything is asked of them; who is not and why, on demand."""
    included = selection.included
    count = Counter(candidate.class_name for candidate in included)
    LOG.info(
        "cohort: %d scans of %d participants included (%s), %d scans excluded",
        len(included),
        len({candidate.participant for candidate in included}),
        ", ".join(f"{count[name]} of {name}" for name in classes),
        len(selection.candidates) - len(included),
    )
    for reason, n in Counter(scan.reason for scan in selection.candidates).most_common():
        if reason:
            LOG.log(details, "excluded: %d scans, %s", n, reason)
    without = len({*people} - {candidate.participant for candidate in selection.candidates})
    if without:
        LOG.log(details, "excluded: %d participants, %s", without, _NO_MAP)


def write(cohort: CohortPlan, target: str, folder: Path, output_dir: Path) -> list[Path]:
    """Write the tables of a cohort; return them with their JSON files.

    target : column of the classes; output_dir : what the paths in the tables are relative to
    A balance of an earlier run is removed where nobody was matched.
    """
    columns = _columns_of_people(cohort.people)
    rows = cohort_rows(cohort, target, output_dir)
    written = COHORT.write(folder / COHORT.file, rows, more=columns)
    written += SPLITS.write(folder / SPLITS.file, split_rows(cohort.splits))
    return written + _write_balance(cohort.selection.balance, folder / BALANCE.file)


def _write_balance(rows: tuple[Balance, ...], file: Path) -> list[Path]:
    if rows:
        return BALANCE.write(file, rows)
    for stale in (file, file.with_suffix(".json")):
        stale.unlink(missing_ok=True)
    return []


def split_rows(splits: Iterable[Split]) -> list[SplitMember]:
    """Return the lines of ``splits.tsv``."""
    return [
        SplitMember(participant_id=participant, split=number, set_name=set_name)
        for number, members in enumerate(splits)
        for participant, set_name in members.items()
    ]


def _columns_of_people(people: People) -> list[str]:
    """The columns of participants.tsv that the table of the cohort has over its own."""
    fixed = COHORT.meanings()
    first: dict[str, str] = next(iter(people.values()), {})
    return [name for name in first if name and name not in fixed]


def cohort_rows(cohort: CohortPlan, target: str, output_dir: Path) -> list[CohortScan]:
    """Return one line a scan, and one a participant without any, sorted.

    Arguments as of :func:`write`.
    """
    columns = _columns_of_people(cohort.people)
    rows = [_scan_row(scan, columns, output_dir) for scan in cohort.selection.candidates]
    with_maps = {candidate.participant for candidate in cohort.selection.candidates}
    rows += [
        CohortScan(
            participant_id=participant,
            session_id=None,
            class_name=row.get(target),
            included=False,
            reason=_NO_MAP,
            map_file=None,
            mask_file=None,
            to_template=None,
            participant={name: row.get(name) for name in columns},
        )
        for participant, row in cohort.people.items()
        if participant not in with_maps
    ]
    return sorted(rows, key=lambda row: (row.participant_id, str(row.map_file or "")))


def _scan_row(candidate: Candidate, columns: Iterable[str], output_dir: Path) -> CohortScan:
    def relative(path: Path | None) -> Path | None:
        return None if path is None else Path(os.path.relpath(path, output_dir))

    low, middle, high = candidate.quantiles or (None, None, None)
    return CohortScan(
        participant_id=candidate.participant,
        session_id=candidate.session or None,
        class_name=candidate.class_name or None,
        included=candidate.reason is None,
        reason=candidate.reason,
        map_file=relative(candidate.files.map),
        mask_file=relative(candidate.files.mask),
        to_template=relative(candidate.files.to_template),
        map_p05=low,
        map_median=middle,
        map_p95=high,
        participant={name: candidate.row.get(name) for name in columns},
    )


def _check_classes(inputs: CohortInputs, selection: ScanSelection) -> None:
    """Raise :class:`BadDataError` where a class of the study has no scan."""
    target = inputs.study.target
    present = {candidate.class_name for candidate in selection.included}
    missing = [name for name in target.names if name not in present]
    if not missing:
        return
    occurring = sorted({scan.class_name for scan in selection.candidates if scan.class_name})
    reasons = sorted(
        {
            f"{candidate.class_name}: {candidate.reason}"
            for candidate in selection.candidates
            if candidate.class_name in missing and candidate.reason
        }
    )
    problem = (
        "fewer than two classes" if len(present) < 2 else f"{len(missing)} classes are missing"
    )
    raise BadDataError(
        f"{problem}: no usable scan with {target.column} = {', '.join(missing)}"
        + (f" ({'; '.join(reasons[:3])})" if reasons else ""),
        file=inputs.participants_file,
        fix="run the participant level for scans of each class, or check the target of the study; "
        f"found {', '.join(occurring)}" + (_AFTER_A_LOOK if "quality: " in str(reasons) else ""),
    )
