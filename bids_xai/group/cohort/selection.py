"""Who is in a study: every scan that is not gets one reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bids_xai.bids.names import parse_name
from bids_xai.core.cohort import BalanceRow, balance, encode_covariates, propensity_match
from bids_xai.core.cohort.query import select
from bids_xai.core.cohort.sampling import undersample
from bids_xai.errors import BadDataError
from bids_xai.group.context import GroupContext
from bids_xai.group.maps import MapFiles
from bids_xai.group.people import People, read_sessions
from bids_xai.studies.tables import Study
from bids_xai.tables.qc import SESSION_QC, qc_file

BALANCE_COLUMNS = {
    "name": "Covariate; of text one row a value",
    "mean_treated_before": "Mean of the positive class, everybody",
    "sd_treated_before": "Standard deviation of the positive class, everybody",
    "mean_control_before": "Mean of the others, everybody",
    "sd_control_before": "Standard deviation of the others, everybody",
    "smd_before": "Standardised mean difference, everybody (0 is balanced)",
    "variance_ratio_before": "Variance of the positive class over that of the others, everybody",
    "mean_treated_after": "Mean of the positive class, those kept",
    "sd_treated_after": "Standard deviation of the positive class, those kept",
    "mean_control_after": "Mean of the others, those kept",
    "sd_control_after": "Standard deviation of the others, those kept",
    "smd_after": "Standardised mean difference, those kept, by the sds of everybody",
    "variance_ratio_after": "Variance of the positive class over that of the others, those kept",
}


@dataclass(frozen=True)
class Candidate:
    """A scan that may take part; ``reason`` says why it does not.

    ``row`` holds the columns of participants.tsv and, over them, of sessions.tsv.
    """

    participant: str
    session: str
    class_name: str
    files: MapFiles
    row: Mapping[str, str] = field(default_factory=dict)
    reason: str | None = None


@dataclass(frozen=True)
class Selection:
    """All candidates, and how alike the classes are before and after matching."""

    candidates: tuple[Candidate, ...]
    balance: tuple[BalanceRow, ...] = ()

    @property
    def included(self) -> list[Candidate]:
        """Those without a reason against them."""
        return [one for one in self.candidates if one.reason is None]


def select_scans(context: GroupContext, people: People, maps: Sequence[MapFiles]) -> Selection:
    """Go through the rules of a study in order: class, files, query, quality, sampling, matching.

    Raises :class:`BadDataError` for a query or a column that cannot be used.
    """
    study = context.study
    candidates = [_candidate(context, people, found) for found in maps]
    if study.cohort.include:
        candidates = _by_query(candidates, study.cohort.include)
    if study.cohort.exclude_failed_qc:
        candidates = [_by_quality(one, study.input.suffix) for one in candidates]
    rows: tuple[BalanceRow, ...] = ()
    seed = context.settings.random_seed
    if study.cohort.undersample is not None:
        candidates = _undersampled(candidates, study, seed)
    if study.cohort.match:
        candidates, rows = _matched(candidates, study, seed)
    return Selection(tuple(candidates), rows)


def balance_rows(selection: Selection) -> list[dict[str, Any]]:
    """Return the rows of ``balance.tsv``."""
    return [asdict(row) for row in selection.balance]


def _candidate(context: GroupContext, people: People, found: MapFiles) -> Candidate:
    target = context.study.target
    entities = found.entities
    participant = f"sub-{entities['sub']}"
    session = f"ses-{entities['ses']}" if "ses" in entities else ""
    row = dict(people.get(participant, {}))
    if target.table == "sessions":
        visits = read_sessions(context.settings.bids_dir, participant, (target.column,))
        row |= visits.get(session, {target.column: ""})
    value = row.get(target.column) or ""
    reason = found.problem
    if participant not in people:
        reason = "not in participants.tsv"
    elif value not in target.names:
        reason = f"{target.column} is {value or 'empty'}"
    return Candidate(participant, session, value, found, row, reason)


def _by_query(candidates: list[Candidate], query: str) -> list[Candidate]:
    known = [one for one in candidates if one.row]
    found = iter(select([one.row for one in known], query).reasons)
    return [_left_out(one, next(found)) if one.row else one for one in candidates]


def _left_out(one: Candidate, reason: str | None) -> Candidate:
    """The candidate with a reason, unless there is one already."""
    return one if one.reason or not reason else replace(one, reason=reason)


def _by_quality(one: Candidate, suffix: str) -> Candidate:
    table = qc_file(one.files.map.parent)
    if table is None:
        return one
    flagged = [
        f"{measure.metric} {measure.verdict}"
        for measure in SESSION_QC.read(table)
        if measure.flagged and _concerns(measure.image, suffix)
    ]
    return _left_out(one, f"quality: {', '.join(flagged)}" if flagged else None)


def _concerns(image: str, suffix: str) -> bool:
    """Whether an image lies on the way to the study's input: any, but for other maps."""
    of_image = parse_name(Path(image).name)[1]
    is_map = of_image.endswith("map") or of_image in ("FLAIR", "MEGRE")
    return not is_map or of_image == suffix or (of_image == "MEGRE" and suffix == "R2starmap")


def _participants(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The first included scan of every participant, by participant."""
    first: dict[str, Candidate] = {}
    for one in candidates:
        if one.reason is None:
            first.setdefault(one.participant, one)
    return [first[name] for name in sorted(first)]


def _without(
    candidates: list[Candidate], kept: set[str], reason: Callable[[str], str]
) -> list[Candidate]:
    return [
        one if one.participant in kept else _left_out(one, reason(one.participant))
        for one in candidates
    ]


def _undersampled(candidates: list[Candidate], study: Study, seed: int) -> list[Candidate]:
    rule = study.cohort.undersample
    if rule is None or not (people := _participants(candidates)):
        return candidates
    mask = undersample(
        [one.class_name for one in people],
        _column(people, rule.age),
        _column(people, rule.sex),
        bin_years=int(rule.bin_years),
        seed=seed,
        equalise=rule.equalise,
    )
    kept = {one.participant for one, keep in zip(people, mask, strict=True) if keep}
    return _without(candidates, kept, lambda _: "undersampled: one too many of its age and sex")


def _matched(
    candidates: list[Candidate], study: Study, seed: int
) -> tuple[list[Candidate], tuple[BalanceRow, ...]]:
    """1:1 propensity matching of the positive class with everybody else."""
    people = _participants(candidates)
    if not people:
        return candidates, ()
    table, names = encode_covariates({name: _column(people, name) for name in study.cohort.match})
    treated = [one.class_name == study.target.positive_name for one in people]
    found = propensity_match(
        treated, table, caliper=study.cohort.caliper or None, seed=seed, names=names
    )
    kept = {people[index].participant for index in found.matched}
    why = {people[index].participant: reason for index, reason in found.left_out.items()}
    rest = _without(
        candidates, kept, lambda name: f"matching: {why.get(name, 'no partner was needed')}"
    )
    return rest, tuple(balance(table, names, treated, list(found.matched)))


def _column(people: Sequence[Candidate], name: str) -> list[str]:
    """A column of the people's tables.

    Raises :class:`BadDataError` where there is none of that name.
    """
    if not all(name in one.row for one in people):
        raise BadDataError(
            f"no column '{name}' in participants.tsv, which the study needs",
            fix=f"add it, or take it out of the study file; there are {', '.join(people[0].row)}",
        )
    return [one.row[name] for one in people]
