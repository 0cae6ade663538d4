"""Write a simulated cohort: raw BIDS, and the truth behind it as a BIDS derivative.

Equal options give equal bytes: gzip files carry no time stamp.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from bids_xai import __version__
from bids_xai.core.nuclei import NUCLEI
from bids_xai.errors import CannotCreateError, FileAccessError
from bids_xai.simulation.cohort import Participant, SimulationOptions, draw_cohort
from bids_xai.simulation.deformation import LPS, ControlGrid, Grid
from bids_xai.simulation.scan import Scan, simulate_scan
from bids_xai.simulation.signal import (
    ECHO_TIMES_S,
    FLIP_ANGLE_DEG,
    REPETITION_TIME_S,
    TISSUES,
)
from bids_xai.templates.embedded import SPACE

Floats = NDArray[np.floating[Any]]

BIDS_VERSION = "1.10.0"
TRUTH = Path("derivatives", "truth")

_VECTOR_INTENT = 1007
_SCANNER = {"Manufacturer": "Simulated", "MagneticFieldStrength": 3, "BodyPart": "BRAIN"}
_T1W = {"RepetitionTime": 1.9, "EchoTime": 0.00219, "InversionTime": 0.9, "FlipAngle": 9}
_MEGRE = {"RepetitionTime": REPETITION_TIME_S, "FlipAngle": FLIP_ANGLE_DEG}
_BIDSIGNORE = "*_xfm.nii.gz\n*_xfm.txt\ntruth.tsv\ntruth.json\n"

_README = """\
Simulated cohort
================

Made by bids_xai_simulate {version}; nobody was scanned. Options: {options}.

Every head is the embedded template MNI152NLin2009aSym (brain only) in a drawn CSF rim, skull and
scalp, deformed smoothly, with T1w and multi-echo (MEGRE) images of its own pose. Patients (AD)
differ from controls (NC) in one thing: R2* of caudate, putamen and pallidum is higher, on average
by effect_percent, with an sd of a quarter of that between patients. Age raises R2* in everybody;
ages are matched; site has no effect. SNR is the mean first-echo brain signal over the sd of the
noise. Between T1w and MEGRE the head moves a little, which the headers do not know.

The truth is in derivatives/truth.
"""

_TRUTH_README = """\
Truth behind a simulated cohort
===============================

R2starmap: R2* (1/s) on the MEGRE grid from which the echoes were made, without noise.
desc-nuclei_dseg, desc-brain_mask: on the T1w grid; space-MEGRE_desc-brain_mask on the MEGRE grid.
from-{space}_to-T1w_mode-image_xfm.nii.gz: ITK displacement field (LPS); the T1w image was made
through this very field. from-MEGRE_to-T1w_mode-image_xfm.txt: ITK rigid transform.
Both resample images onto the T1w grid, as in antsApplyTransforms -r T1w -t XFM.
truth.tsv: each session's true R2* of every tissue (1/s) and the person's own effect.
"""

_PARTICIPANT_COLUMNS = {
    "age": {"Description": "Age at the first session", "Units": "year"},
    "sex": {"Description": "Sex", "Levels": {"F": "female", "M": "male"}},
    "diagnosis": {
        "Description": "Simulated diagnosis",
        "Levels": {"AD": "patient, Alzheimer's disease", "NC": "healthy control"},
    },
    "site": {"Description": "Site, drawn at random, without effect on the images"},
}
_SESSION_COLUMNS = {"age": {"Description": "Age at the session", "Units": "year"}}
_TRUTH_COLUMNS = {
    "participant_id": {"Description": "Participant"},
    "session_id": {"Description": "Session"},
    "effect": {"Description": "Relative increase of R2* in the nuclei by disease"},
    **{
        f"{name}_r2star": {"Description": f"True R2* of {name}", "Units": "1/s"} for name in TISSUES
    },
}


def simulate_cohort(
    out: str | Path,
    *,
    n_participants: int = 24,
    effect_percent: float = 30.0,
    snr: float = 100.0,
    voxel_mm: float = 2.0,
    max_sessions: int = 2,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> list[Participant]:
    """Simulate a cohort into ``out``, which must be empty or not yet exist.

    effect_percent : mean increase of R2* in patients' nuclei
    snr : mean first-echo brain signal over noise sd (for T1w: mean brain signal)
    voxel_mm : isotropic voxel of the T1w; MEGRE voxels are 1.25, 1.25, 1.5 times that
    max_sessions : one participant in four has this many sessions, the others one;
        with 1 there is no session level
    progress : called with one line a participant
    Returns the participants.
    """
    options = SimulationOptions(n_participants, effect_percent, snr, voxel_mm, max_sessions, seed)
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
) -> list[Participant]:
    """Scans first, dataset_description.json last: a folder left half-way is not valid BIDS."""
    people = draw_cohort(options)
    for count, person in enumerate(people, start=1):
        for session in range(1, person.n_sessions + 1):
            scan = simulate_scan(person, session, options)
            stem = _stem(person, session, options)
            _write_raw(out, stem, scan)
            _write_truth(out / TRUTH, stem, scan)
        if options.max_sessions > 1:
            _write_sessions(out, person)
        sessions = f"{person.n_sessions} session{'s' if person.n_sessions > 1 else ''}"
        progress(f"{count}/{len(people)} sub-{person.label} {person.diagnosis} {sessions}")
    _write_tables(out, people, options)
    _write_descriptions(out, options)
    return people


def _stem(person: Participant, session: int, options: SimulationOptions) -> str:
    """``anat`` path of a scan up to its suffix, relative to a dataset."""
    entities = [f"sub-{person.label}"]
    if options.max_sessions > 1:
        entities.append(f"ses-{session}")
    return "/".join([*entities, "anat", "_".join(entities)])


def _write_raw(out: Path, stem: str, scan: Scan) -> None:
    _write_image(out / f"{stem}_T1w.nii.gz", scan.t1w, scan.t1w_grid)
    _write_json(out / f"{stem}_T1w.json", {**_SCANNER, **_T1W})
    for number, (echo, time_s) in enumerate(zip(scan.megre, ECHO_TIMES_S, strict=True), start=1):
        name = f"{stem}_echo-{number}_MEGRE"
        _write_image(out / f"{name}.nii.gz", echo, scan.megre_grid)
        _write_json(out / f"{name}.json", {**_SCANNER, **_MEGRE, "EchoTime": time_s})


def _write_truth(truth: Path, stem: str, scan: Scan) -> None:
    raw_t1w = f"bids:raw:{stem}_T1w.nii.gz"
    raw_megre = [f"bids:raw:{stem}_echo-{n}_MEGRE.nii.gz" for n in range(1, len(scan.megre) + 1)]
    labels: list[tuple[str, NDArray[Any], Grid, dict[str, Any]]] = [
        ("desc-brain_mask", scan.t1w_brain, scan.t1w_grid, {"Sources": [raw_t1w], "Type": "Brain"}),
        (
            "space-MEGRE_desc-brain_mask",
            scan.megre_brain,
            scan.megre_grid,
            {"Sources": raw_megre, "Type": "Brain", "SpatialReference": raw_megre[0]},
        ),
        ("desc-nuclei_dseg", scan.t1w_nuclei, scan.t1w_grid, {"Sources": [raw_t1w]}),
    ]
    for name, data, grid, sidecar in labels:
        _write_image(truth / f"{stem}_{name}.nii.gz", data.astype(np.uint8), grid)
        _write_json(truth / f"{stem}_{name}.json", sidecar)
    _write_table(truth / f"{stem}_desc-nuclei_dseg.tsv", [each._asdict() for each in NUCLEI])
    _write_image(truth / f"{stem}_R2starmap.nii.gz", scan.megre_r2star, scan.megre_grid)
    _write_json(
        truth / f"{stem}_R2starmap.json",
        {"Sources": raw_megre, "Units": "1/s", "SkullStripped": False}
        | {"EchoTime": list(ECHO_TIMES_S), "MagneticFieldStrength": 3},
    )
    _write_field(truth / f"{stem}_from-{SPACE}_to-T1w_mode-image_xfm.nii.gz", scan.control)
    _write_rigid(truth / f"{stem}_from-MEGRE_to-T1w_mode-image_xfm.txt", scan.motion)


def _write_field(path: Path, control: ControlGrid) -> None:
    """ITK displacement field: 5-D vectors in mm, LPS, from T1w world to template world."""
    vectors = control.displacement_mm * np.diag(LPS)[:3, None, None, None]
    data = np.moveaxis(vectors, 0, -1)[:, :, :, None, :].astype(np.float32)
    _write_image(path, data, control.grid, intent=_VECTOR_INTENT)


def _write_rigid(path: Path, megre_to_t1w: Floats) -> None:
    """ITK transform that brings MEGRE images to the T1w grid: T1w to MEGRE world, mm, LPS."""
    matrix = LPS @ np.linalg.inv(megre_to_t1w) @ LPS
    numbers = " ".join(f"{x:.12g}" for x in [*matrix[:3, :3].ravel(), *matrix[:3, 3]])
    _write_text(
        path,
        "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n"
        f"Parameters: {numbers}\nFixedParameters: 0 0 0\n",
    )


def _write_sessions(out: Path, person: Participant) -> None:
    rows = [
        {"session_id": f"ses-{session}", "age": person.age_at(session)}
        for session in range(1, person.n_sessions + 1)
    ]
    _write_table(out / f"sub-{person.label}" / f"sub-{person.label}_sessions.tsv", rows)


def _write_tables(out: Path, people: list[Participant], options: SimulationOptions) -> None:
    rows = [
        {"participant_id": f"sub-{person.label}"}
        | {name: getattr(person, name) for name in _PARTICIPANT_COLUMNS}
        for person in people
    ]
    _write_table(out / "participants.tsv", rows)
    _write_json(out / "participants.json", _PARTICIPANT_COLUMNS)
    if options.max_sessions > 1:
        _write_json(out / "sessions.json", _SESSION_COLUMNS)
    _write_table(out / TRUTH / "truth.tsv", list(_truth_rows(people, options)))
    _write_json(out / TRUTH / "truth.json", _TRUTH_COLUMNS)


def _truth_rows(people: list[Participant], options: SimulationOptions) -> Iterator[dict[str, Any]]:
    for person in people:
        for session in range(1, person.n_sessions + 1):
            row = {
                "participant_id": f"sub-{person.label}",
                "session_id": f"ses-{session}" if options.max_sessions > 1 else "n/a",
                "effect": round(person.effect, 6),
            }
            rates = person.r2star_per_s(session)
            yield row | {f"{name}_r2star": round(rate, 4) for name, rate in rates.items()}


def _write_descriptions(out: Path, options: SimulationOptions) -> None:
    made_by = {"Name": "bids_xai_simulate", "Version": __version__}
    common = {"BIDSVersion": BIDS_VERSION, "License": "CC0"}
    settings = ", ".join(f"{name}={value}" for name, value in asdict(options).items())
    _write_text(out / "README", _README.format(version=__version__, options=settings))
    _write_text(out / TRUTH / "README", _TRUTH_README.format(space=SPACE))
    _write_text(out / TRUTH / ".bidsignore", _BIDSIGNORE)
    _write_json(
        out / TRUTH / "dataset_description.json",
        {"Name": "Truth behind a simulated cohort", **common, "DatasetType": "derivative"}
        | {"GeneratedBy": [made_by], "DatasetLinks": {"raw": "../.."}}
        | {"SourceDatasets": [{"URL": "../.."}]},
    )
    _write_json(
        out / "dataset_description.json",
        {"Name": "Simulated cohort", **common, "DatasetType": "raw", "GeneratedBy": [made_by]}
        | {"Authors": ["bids_xai_simulate"]},
    )


def _write_image(path: Path, data: NDArray[Any], grid: Grid, *, intent: int = 0) -> None:
    """Write a gzipped NIfTI with the grid as scanner coordinates, and no time stamp."""
    image = nib.Nifti1Image(data, grid.affine)
    image.set_sform(grid.affine, code="scanner")
    image.set_qform(grid.affine, code="scanner")
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_intent(intent)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=3, mtime=0))


def _write_json(path: Path, content: dict[str, Any]) -> None:
    _write_text(path, json.dumps(content, indent=2) + "\n")


def _write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    lines = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    _write_text(path, "".join("\t".join(line) + "\n" for line in lines))


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
