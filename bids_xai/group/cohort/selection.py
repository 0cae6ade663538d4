"""Who is in a study: every scan that is not gets one reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from bids_xai.bids.names import parse_name
from bids_xai.core.cohort import balance, encode_covariates, propensity_match
from bids_xai.core.cohort.query import select
from bids_xai.core.cohort.sampling import undersample
from bids_xai.errors import BadDataError
from bids_xai.group.cohort.withdrawn import WITHDRAWN
from bids_xai.group.maps import MapFiles
from bids_xai.group.people import People
from bids_xai.studies.tables import Study, Target
from bids_xai.tables.cohort import Balance
from bids_xai.tables.qc import Measure


@dataclass(frozen=True)
class Candidate:
    """A scan that may take part; ``reason`` says why it does not.

    ``row`` holds the columns of participants.tsv and, over them, of sessions.tsv.
    ``quantiles`` : 5th percentile, median and 95th percentile of the map in the brain, once read.
    """

    participant: str
    session: str
    class_name: str
    files: MapFiles
    row: Mapping[str, str] = field(default_factory=dict)
    reason: str | None = None
    quantiles: tuple[float, float, float] | None = None

    def left_out(self, reason: str | None) -> Candidate:
        """Return the candidate with a reason, unless there is one already."""
        return self if self.reason or not reason else replace(self, reason=reason)


@dataclass(frozen=True)
class Dataset:
    """What is known of everybody before the rules of a study apply.

    people : ``sub-X`` → row of participants.tsv
    visits : ``sub-X`` → ``ses-X`` → row of sessions.tsv, where the study's classes are in it
    maps : of the study's input; quality : folder of a map → measures of its session
    withdrawn : participant and session of maps that the raw dataset no longer has
    """

    people: People
    visits: Mapping[str, People]
    maps: tuple[MapFiles, ...]
    quality: Mapping[Path, Sequence[Measure]] = field(default_factory=dict)
    withdrawn: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True)
class ScanSelection:
    """All candidates, and how alike the classes are before and after matching."""

    candidates: tuple[Candidate, ...]
    balance: tuple[Balance, ...] = ()

    @property
    def included(self) -> list[Candidate]:
        """Those without a reason against them."""
        return [candidate for candidate in self.candidates if candidate.reason is None]


def select_scans(dataset: Dataset, study: Study, seed: int) -> ScanSelection:
    """Go through the rules of a study in order: class, files, query, quality, sampling, matching.

    Raises :class:`BadDataError` for a query or a column that cannot be used.
    """
    candidates = [_candidate(dataset, study.target, files) for files in dataset.maps]
    if study.cohort.include:
        candidates = _by_query(candidates, study.cohort.include)
    if study.cohort.exclude_failed_qc:
        candidates = [
            candidate.left_out(_quality_reason(candidate, dataset, study.input.suffix))
            for candidate in candidates
        ]
    if study.cohort.undersample is not None:
        candidates = _undersampled(candidates, study, seed)
    if study.cohort.match:
        return _matched(candidates, study, seed)
    return ScanSelection(tuple(candidates))


def _candidate(dataset: Dataset, target: Target, files: MapFiles) -> Candidate:
    participant, session = files.participant, files.session
    row = dict(dataset.people.get(participant, {}))
    if target.table == "sessions":
        visits = dataset.visits.get(participant, {})
        row |= visits.get(session, {target.column: ""})
    value = row.get(target.column) or ""
    reason = files.problem
    if (participant, session) in dataset.withdrawn:
        reason = WITHDRAWN
    elif participant not in dataset.people:
        reason = "not in participants.tsv"
    elif value not in target.names:
        reason = f"{target.column} is {value or 'empty'}"
    return Candidate(participant, session, value, files, row, reason)


def _by_query(candidates: list[Candidate], query: str) -> list[Candidate]:
    listed = [candidate for candidate in candidates if candidate.row]
    reasons = iter(select([candidate.row for candidate in listed], query).reasons)
    return [
        candidate.left_out(next(reasons)) if candidate.row else candidate
        for candidate in candidates
    ]


def _quality_reason(candidate: Candidate, dataset: Dataset, suffix: str) -> str | None:
    """What the quality of a session says against a scan of it."""
    flagged = [
        f"{measure.metric} {measure.verdict}"
        for measure in dataset.quality.get(candidate.files.map.parent, ())
        if measure.flagged and _concerns(measure.image, suffix)
    ]
    return f"quality: {', '.join(flagged)}" if flagged else None


def _concerns(image: str, suffix: str) -> bool:
    """Whether an image lies on the way to the study's input: any, but for other maps."""
    of_image = parse_name(Path(image).name)[1]
    is_map = of_image.endswith("map") or of_image in ("FLAIR", "MEGRE")
    return not is_map or of_image == suffix or (of_image == "MEGRE" and suffix == "R2starmap")


def first_scans(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return the first included scan of every participant, sorted by participant."""
    first: dict[str, Candidate] = {}
    for candidate in candidates:
        if candidate.reason is None:
            first.setdefault(candidate.participant, candidate)
    return [first[name] for name in sorted(first)]


def _without(
    candidates: Iterable[Candidate], staying: set[str], reason: Callable[[str], str]
) -> list[Candidate]:
    """The candidates, with a reason against all who are not among those staying."""
    return [
        candidate
        if candidate.participant in staying
        else candidate.left_out(reason(candidate.participant))
        for candidate in candidates
    ]


def _undersampled(candidates: list[Candidate], study: Study, seed: int) -> list[Candidate]:
    rule = study.cohort.undersample
    if rule is None or not (people := first_scans(candidates)):
        return candidates
    mask = undersample(
        [candidate.class_name for candidate in people],
        _column(people, rule.age),
        _column(people, rule.sex),
        bin_years=int(rule.bin_years),
        seed=seed,
        equalise=rule.equalise,
    )
    staying = {
        candidate.participant for candidate, stays in zip(people, mask, strict=True) if stays
    }
    return _without(candidates, staying, lambda _: "undersampled: one too many of its age and sex")


def _matched(candidates: list[Candidate], study: Study, seed: int) -> ScanSelection:
    """1:1 propensity matching of the positive class with everybody else."""
    people = first_scans(candidates)
    if not people:
        return ScanSelection(tuple(candidates))
    table, names = encode_covariates({name: _column(people, name) for name in study.cohort.match})
    treated = [candidate.class_name == study.target.positive_name for candidate in people]
    matching = propensity_match(
        treated, table, caliper=study.cohort.caliper or None, seed=seed, names=names
    )
    staying = {people[index].participant for index in matching.matched}
    reasons = {people[index].participant: reason for index, reason in matching.left_out.items()}
    matched = _without(
        candidates, staying, lambda name: f"matching: {reasons.get(name, 'no partner was needed')}"
    )
    rows = balance(table, names, treated, list(matching.matched))
    return ScanSelection(tuple(matched), tuple(Balance(**asdict(row)) for row in rows))


def _column(people: Sequence[Candidate], name: str) -> list[str]:
    """A column of the people's tables.

    Raises :class:`BadDataError` where there is none of that name.
    """
    if not all(name in candidate.row for candidate in people):
        raise BadDataError(
            f"no column '{name}' in participants.tsv, which the study needs",
            fix=f"add it, or remove it from the study file; there are {', '.join(people[0].row)}",
        )
    return [candidate.row[name] for candidate in people]
