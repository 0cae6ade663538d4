"""What is known of every scan: tables of people, sidecars of images, quality figures."""

from __future__ import annotations

import math
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from bids_xai.bids.images import read_header
from bids_xai.bids.layout import read_json
from bids_xai.bids.names import parse_name
from bids_xai.core.spray.audit import EXPECTED, MODEL, PERSONAL, SUSPECT, Covariate
from bids_xai.group.context import GroupContext, Scan
from bids_xai.group.people import People, read_participants, read_sessions
from bids_xai.tables.qc import collect_qc

SIDECAR_FIELDS = (
    "Manufacturer",
    "ManufacturersModelName",
    "DeviceSerialNumber",
    "StationName",
    "InstitutionName",
    "SoftwareVersions",
    "MagneticFieldStrength",
    "ReceiveCoilName",
    "RepetitionTime",
    "FlipAngle",
    "AcquisitionDateTime",
    "AcquisitionDate",
)
"""Fields of the raw images' sidecars that are looked at."""

_RAW = ("MEGRE", "T1w", "FLAIR")  # the first that has a field counts
_TECHNICAL = {
    "site",
    "center",
    "centre",
    "scanner",
    "manufacturer",
    "manufacturers",
    "vendor",
    "coil",
    "station",
    "software",
    "field",
    "protocol",
    "device",
    "serial",
    "batch",
    "date",
    "institution",
    "voxel",
    "resolution",
    "sequence",
    "snr",
    "motion",
    "run",
    "acq",
    "acquisition",
    "model",
    "magnet",
    "tesla",
    "tr",
    "te",
    "bandwidth",
    "channel",
    "channels",
    "slice",
    "slices",
    "dataset",
    "cohort",
    "study",
    "hospital",
    "clinic",
    "location",
    "machine",
    "mri",
    "mr",
}
_BEGIN, _END = ("site", "scanner", "hospital", "vendor"), ("scanner", "fieldstrength")
_OF_A_PERSON_STILL = {"birth", "visual"}  # birth date, visual field
_NAMES = {"site", "center", "centre", "scanner", "serial", "device", "station", "batch", "id"}
_OF_THE_PERSON = {"BrainMedian", "BrainMedianR2star", "LesionVolumeMl", "LesionVoxelsFilled"}
_FEWEST_NUMBERS = 7  # different values, below which numbers count as names of groups
_MISSING = {"", "n/a", "nan", "none", "unknown"}


@dataclass(frozen=True)
class Column:
    """One covariate of the scans of a study: scan name → text, empty where it is not known."""

    name: str
    kind: str
    words: str
    values: dict[str, str]


def study_columns(context: GroupContext, scans: Sequence[Scan]) -> list[Column]:
    """Return what tables, sidecars and quality figures say of the scans, each by its own name."""
    people = _people_columns(context, scans)
    found = [
        *(column for column in _sidecar_columns(context, scans) if any(column.values.values())),
        *_quality_columns(context, scans),
    ]
    taken = {"scan", *(column.name for column in found)}
    return [_renamed(column, taken) for column in people] + found


def _renamed(column: Column, taken: Container[str]) -> Column:
    """A column of the tables of people, not to be mistaken for one of another source."""
    return replace(column, name=f"table_{column.name}") if column.name in taken else column


def covariate_files(context: GroupContext, scans: Sequence[Scan]) -> list[Path]:
    """Return the files that :func:`study_columns` reads, as far as they exist."""
    raw = context.settings.bids_dir
    found = [raw / "participants.tsv"]
    for scan in scans:
        person = f"sub-{scan.participant}"
        found += [raw / person / f"{person}_sessions.tsv", *_sidecars(raw, scan)]
        found += scan.map_file.parent.glob("sub-*_qc.tsv")
    return [file for file in dict.fromkeys(found) if file.is_file()]


def _people_columns(context: GroupContext, scans: Sequence[Scan]) -> list[Column]:
    raw, target = context.settings.bids_dir, context.study.target.column
    people = read_participants(raw, ())
    visits: dict[str, People] = {}
    table: dict[str, dict[str, str]] = {}
    for scan in scans:
        person = f"sub-{scan.participant}"
        if person not in visits:
            visits[person] = read_sessions(raw, person, ())
        visit = visits[person].get(f"ses-{scan.session}", {})
        table[scan.name] = {**people.get(person, {}), **visit}
    names = dict.fromkeys(name for row in table.values() for name in row if name)
    return [
        Column(
            name,
            _kind(name),
            name.replace("_", " "),
            {scan: row.get(name) or "" for scan, row in table.items()},
        )
        for name in names
        if name not in {"participant_id", "session_id", target}
    ]


def _kind(name: str) -> str:
    words = _words(name)
    if words & _OF_A_PERSON_STILL:
        return PERSONAL
    joined = any(word.startswith(_BEGIN) or word.endswith(_END) for word in words)
    return SUSPECT if joined or _TECHNICAL & words else PERSONAL


def _words(name: str) -> set[str]:
    """``MRScanner_id`` → mr, scanner, id."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return set(re.findall(r"[a-z]+", parted.lower()))


def _sidecar_columns(context: GroupContext, scans: Sequence[Scan]) -> list[Column]:
    raw = context.settings.bids_dir
    read: dict[Path, dict[str, Any]] = {}
    fields: dict[str, dict[str, str]] = {field: {} for field in SIDECAR_FIELDS}
    size: dict[str, str] = {}
    for scan in scans:
        merged = _merged(_sidecars(raw, scan), read)
        for field in SIDECAR_FIELDS:
            fields[field][scan.name] = str(merged.get(field, ""))
        size[scan.name] = _voxel_size(scan)
    columns = [Column(field, SUSPECT, _spaced(field), values) for field, values in fields.items()]
    return [*columns, Column("voxel_mm", SUSPECT, "voxel size in mm", size)]


def _spaced(field: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", field).lower()


def _sidecars(raw: Path, scan: Scan) -> list[Path]:
    """The sidecars that apply to a scan by inheritance, the most general first."""
    own = parse_name(f"{scan.name}_x")[0]
    folder = raw / f"sub-{scan.participant}"
    folders = [raw, folder]
    if scan.session:
        folder /= f"ses-{scan.session}"
        folders.append(folder)
    found = []
    for place in [*folders, folder / "anat"]:
        for file in sorted(place.glob("*.json")):
            entities, suffix, _ = parse_name(file.name)
            said = {key: value for key, value in entities.items() if key not in ("echo", "part")}
            if suffix in _RAW and all(own.get(key, value) == value for key, value in said.items()):
                found.append(file)
    return found


def _merged(files: Iterable[Path], read: dict[Path, dict[str, Any]]) -> dict[str, Any]:
    by_suffix: dict[str, dict[str, Any]] = {suffix: {} for suffix in _RAW}
    for file in files:
        if file not in read:
            read[file] = read_json(file)
        by_suffix[parse_name(file.name)[1]].update(read[file])
    merged: dict[str, Any] = {}
    for suffix in reversed(_RAW):
        merged.update(by_suffix[suffix])
    return merged


def _voxel_size(scan: Scan) -> str:
    """Edges of the voxels of the image that the scan's map was made from, ``0.9 × 0.9 × 2``."""
    suffix = parse_name(scan.map_file.name)[1]
    native = scan.map_file.parent / f"{scan.name}_{suffix}.nii.gz"
    affine = read_header(native if native.is_file() else scan.map_file)[1]
    edges = np.sqrt((affine[:3, :3] ** 2).sum(0))
    return " × ".join(f"{edge:.3g}" for edge in edges)


def _quality_columns(context: GroupContext, scans: Sequence[Scan]) -> list[Column]:
    sessions = {(row.participant, row.session): row for row in collect_qc(context.output_dir)}
    columns: dict[tuple[str, str], Column] = {}
    for scan in scans:
        found = sessions.get(
            (f"sub-{scan.participant}", f"ses-{scan.session}" if scan.session else "")
        )
        for (metric, image), measure in ({} if found is None else found.measures).items():
            kind = PERSONAL if metric in _OF_THE_PERSON else SUSPECT
            column = columns.setdefault(
                (metric, image),
                Column(f"{metric}_{image}", kind, f"{measure.meaning} [{image}]", {}),
            )
            if measure.value is not None:
                column.values[scan.name] = f"{measure.value:.9g}"
    return list(columns.values())


def covariates(
    columns: Sequence[Column],
    names: Sequence[str],
    rows: Sequence[Mapping[str, str]],
    outside: np.ndarray,
    edge: np.ndarray,
) -> list[Covariate]:
    """Return the covariates of the heatmaps of one configuration.

    names : (n,) scan of each heatmap; rows : its lines of ``predictions.tsv``
    outside, edge : (n,) share of relevance outside the brain, and at the border of its mask
    """
    numbers = np.array([float(row["probability"]) for row in rows])
    made = [
        Covariate("class", _texts([row["true_class"] for row in rows]), EXPECTED, "class"),
        Covariate("outcome", _texts([row["outcome"] for row in rows]), EXPECTED, "outcome"),
        Covariate("probability", numbers, EXPECTED, "probability of the positive class"),
        Covariate("split", _texts([row["split"] for row in rows]), MODEL, "split"),
        Covariate(
            "relevance_outside",
            outside,
            SUSPECT,
            "relevance outside the brain",
            is_share=True,
            misplaced=True,
        ),
        Covariate("relevance_edge", edge, SUSPECT, "relevance at the edge of the mask", True),
    ]
    for column in columns:
        texts = [column.values.get(name, "") for name in names]
        made.append(Covariate(column.name, typed(column.name, texts), column.kind, column.words))
    return made


def typed(name: str, texts: Sequence[str]) -> Any:
    """Return numbers (n,) or texts (n,): numbers with few different values name groups.

    Dates become days, NaN and the empty text stand for what is missing.
    """
    clean = ["" if text.strip().lower() in _MISSING else text.strip() for text in texts]
    known = [text for text in clean if text]
    if len(set(known)) < _FEWEST_NUMBERS or _words(name) & _NAMES:
        return _texts(clean)
    for convert in (float, _days):
        try:
            return np.array([convert(text) if text else math.nan for text in clean])
        except (ValueError, OverflowError):
            continue
    return _texts(clean)


def _days(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=None).timestamp() / 86400


def _texts(values: Sequence[str]) -> Any:
    return np.array(values, dtype=np.str_)
