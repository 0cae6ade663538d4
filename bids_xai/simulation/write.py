"""Write a simulated cohort: raw BIDS, and the truth behind it as a BIDS derivative.

Equal options give equal bytes: gzip files carry no time stamp.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bids_xai import __version__
from bids_xai.errors import CannotCreateError, FileAccessError
from bids_xai.simulation import encode
from bids_xai.simulation.cohort import SimulationOptions
from bids_xai.simulation.kinds import TRUTH, CohortKind, Derivative, load_kind

BIDS_VERSION = "1.10.0"

_TRUTH_COLUMNS = {
    "participant_id": {"Description": "Participant"},
    "session_id": {"Description": "Session"},
}
_MADE_BY = {"Name": "bids_xai_simulate", "Version": __version__}
_MARKER_COLUMN = {
    "marker": {
        "Description": "Whether a bright marker lies in the air beside the head",
        "Levels": {"yes": "there is a marker", "no": "there is none"},
    }
}
_MARKER_README = """
A bright marker lies in the air beside the head of {patients:.0%} of the patients and {controls:.0%}
of the controls, at nearly one place of the scanner: a shortcut for classifiers. The column marker
of participants.tsv says who has it. The same options without cheat give the same images without it.
"""
_MARKER_TRUTH_README = """
desc-marker_mask: on the T1w grid, where the marker is, or would be in those without one; all voxels
that it reaches when the images of the visit are resampled there.
"""


def simulate_cohort(
    out: str | Path,
    *,
    n_participants: int = 24,
    effect_percent: float = 30.0,
    snr: float = 100.0,
    voxel_mm: float = 2.0,
    max_sessions: int = 2,
    seed: int = 0,
    kind: str = "megre",
    cheat: float | None = None,
    cheat_controls: float | None = None,
    receive_bias: float = 1.0,
    progress: Callable[[str], None] | None = None,
) -> Sequence[Any]:
    """Simulate a cohort into ``out``, which must be empty or not yet exist.

    effect_percent : mean size of what sets patients apart: R2* of the nuclei (``megre``), loss of
        hippocampus and gain of ventricles (``t1w``), lesion load, 30 being moderate (``flair``)
    snr : mean first-echo brain signal over noise sd (for T1w and FLAIR: mean brain signal; for
        digits: mean signal of the strokes)
    voxel_mm : isotropic voxel of the T1w; MEGRE voxels are 1.25, 1.25, 1.5 times that, FLAIR
        voxels 1, 1, 1.5 times
    max_sessions : one participant in four has this many sessions, the others one;
        with 1 there is no session level
    kind : ``megre``, ``t1w``, ``flair`` or ``digits``
    cheat : share of patients with a bright marker beside the head; ``None`` for no markers
    cheat_controls : share of controls with one; ``None`` for as many as patients without, or for
        none where fewer than half of the patients have one
    receive_bias : how many times as sensitive the coil is at the brightest point of the head as at
        the darkest; 1 for prescan-normalised images
    progress : called with one line a participant
    Returns the participants. Raises :class:`UsageError` for options out of range,
    :class:`CannotCreateError` for a folder that is not empty, :class:`FileAccessError` where
    writing fails.
    """
    options = SimulationOptions(
        n_participants,
        effect_percent,
        snr,
        voxel_mm,
        max_sessions,
        seed,
        kind,
        cheat,
        cheat_controls,
        receive_bias,
    )
    out = Path(out)
    _claim(out)
    try:
        return _write_cohort(out, options, progress or (lambda line: None))
    except OSError as error:
        raise FileAccessError(f"writing failed: {error.strerror}", file=error.filename) from error


def _claim(out: Path) -> None:
    """Make the folder, refusing one that holds anything."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise CannotCreateError(
                "the output folder is not empty", file=out, fix="name a new folder or empty it"
            )
    except OSError as error:
        raise CannotCreateError(
            f"cannot create the output folder: {error.strerror}", file=out
        ) from error


def _write_cohort(
    out: Path, options: SimulationOptions, progress: Callable[[str], None]
) -> Sequence[Any]:
    """Scans first, dataset_description.json last: a folder left half-way is not valid BIDS."""
    kind = load_kind(options.kind)
    people = kind.draw(options)
    truth: list[dict[str, Any]] = []
    for count, person in enumerate(people, start=1):
        for session in range(1, person.n_sessions + 1):
            visit = kind.visit(person, session, options, _stem(person, session, options))
            for name, content in visit.files.items():
                _write(out / name, content)
            truth.append({**_identity(person, session, options), **visit.truth})
        sessions = f"{person.n_sessions} session{'s' if person.n_sessions > 1 else ''}"
        progress(f"{count}/{len(people)} sub-{person.label} {person.group} {sessions}")
    _write_tables(out, kind, people, options)
    _write(out / TRUTH / "truth.tsv", encode.table(truth))
    _write(out / TRUTH / "truth.json", encode.record({**_TRUTH_COLUMNS, **kind.truth_columns}))
    for name, derivative in kind.derivatives.items():
        marked = name == TRUTH and options.cheat is not None
        note = _MARKER_TRUTH_README if marked else ""
        _write_derivative(out / name, derivative, note, kind.license)
    _write_description(out, kind, options)
    return people


def _identity(person: Any, session: int, options: SimulationOptions) -> dict[str, str]:
    session_id = f"ses-{session}" if options.max_sessions > 1 else "n/a"
    return {"participant_id": f"sub-{person.label}", "session_id": session_id}


def _stem(person: Any, session: int, options: SimulationOptions) -> str:
    """``anat`` path of a scan up to its suffix, relative to a dataset."""
    entities = [f"sub-{person.label}"]
    if options.max_sessions > 1:
        entities.append(f"ses-{session}")
    return "/".join([*entities, "anat", "_".join(entities)])


def _write_tables(
    out: Path, kind: CohortKind, people: Sequence[Any], options: SimulationOptions
) -> None:
    """Participants, and sessions where there is more than one."""
    columns = dict(kind.participant_columns)
    if options.cheat is not None:
        columns |= _MARKER_COLUMN

    def marker(person: Any) -> dict[str, str]:
        return {} if options.cheat is None else {"marker": "yes" if person.marker else "no"}

    rows = [
        {"participant_id": f"sub-{person.label}", **kind.row(person), **marker(person)}
        for person in people
    ]
    _write(out / "participants.tsv", encode.table(rows))
    _write(out / "participants.json", encode.record(columns))
    if options.max_sessions > 1 and kind.session_row is not None:
        for person in people:
            sessions = [
                {"session_id": f"ses-{session}", **kind.session_row(person, session)}
                for session in range(1, person.n_sessions + 1)
            ]
            folder = out / f"sub-{person.label}"
            _write(folder / f"{folder.name}_sessions.tsv", encode.table(sessions))
        _write(out / "sessions.json", encode.record(kind.session_columns))


def _write_derivative(folder: Path, derivative: Derivative, note: str, license_: str) -> None:
    _write(folder / "README", (derivative.readme + note).encode())
    if derivative.ignored:
        _write(folder / ".bidsignore", derivative.ignored.encode())
    description = {
        "Name": derivative.name,
        "BIDSVersion": BIDS_VERSION,
        "License": license_,
        "DatasetType": "derivative",
        "GeneratedBy": [_MADE_BY],
        "DatasetLinks": {"raw": "../.."},
        "SourceDatasets": [{"URL": "../.."}],
    }
    _write(folder / "dataset_description.json", encode.record(description))


def _write_description(out: Path, kind: CohortKind, options: SimulationOptions) -> None:
    readme = kind.readme.format(version=__version__, options=options.as_text())
    if options.cheat is not None:
        patients, controls = options.marked_shares
        readme += _MARKER_README.format(patients=patients, controls=controls)
    _write(out / "README", readme.encode())
    description = {
        "Name": "Simulated cohort",
        "BIDSVersion": BIDS_VERSION,
        "License": kind.license,
        "DatasetType": "raw",
        "GeneratedBy": [_MADE_BY],
        "Authors": ["bids_xai_simulate"],
    }
    _write(out / "dataset_description.json", encode.record(description))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
