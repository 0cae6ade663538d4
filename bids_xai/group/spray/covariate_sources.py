"""What is known of every scan: tables of people, sidecars of images, quality figures."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bids_xai.bids.images import read_header
from bids_xai.bids.layout import read_json
from bids_xai.bids.names import parse_name
from bids_xai.core.spray.audit_words import SUSPECT
from bids_xai.group.context import Scan
from bids_xai.group.people import People, read_participants, read_sessions
from bids_xai.group.spray.covariate_kinds import column_kind, quality_kind, spaced
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


@dataclass(frozen=True)
class ScanColumn:
    """One covariate of the scans of a study.

    kind : as of :class:`~bids_xai.core.spray.audit.Covariate`; meaning : in words
    values : scan name → text, empty where it is not known
    """

    name: str
    kind: str
    meaning: str
    values: dict[str, str]


@dataclass(frozen=True)
class CovariateSources:
    """Where covariates of scans lie.

    raw : the BIDS dataset; derivatives : folder with the quality figures of every session
    target : column of the classes, which is no covariate
    """

    raw: Path
    derivatives: Path
    target: str
    scans: tuple[Scan, ...]

    def files(self) -> list[Path]:
        """Return the files that :meth:`columns` reads, as far as they exist."""
        candidates = [self.raw / "participants.tsv"]
        for scan in self.scans:
            person = f"sub-{scan.participant}"
            candidates += [self.raw / person / f"{person}_sessions.tsv"]
            candidates += [*_sidecars(self.raw, scan), *scan.map_file.parent.glob("sub-*_qc.tsv")]
        return [file for file in dict.fromkeys(candidates) if file.is_file()]

    def columns(self) -> list[ScanColumn]:
        """Return what tables, sidecars and quality figures say, each by its own name.

        A column of the tables of people that could be mistaken for one of another source is
        called ``table_<name>``.
        Raises ``NoInputError`` and ``BadDataError`` as the readers of these files do.
        """
        people = people_columns(self.raw, self.scans, self.target)
        measured = [
            *(c for c in sidecar_columns(self.raw, self.scans) if any(c.values.values())),
            *quality_columns(self.derivatives, self.scans),
        ]
        taken = {"scan", *(column.name for column in measured)}
        return [_renamed(column, taken) for column in people] + measured


def _renamed(column: ScanColumn, taken: Container[str]) -> ScanColumn:
    return replace(column, name=f"table_{column.name}") if column.name in taken else column


def people_columns(raw: Path, scans: Sequence[Scan], target: str) -> list[ScanColumn]:
    """Return the columns of ``participants.tsv`` and, over them, of the sessions' tables."""
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
        ScanColumn(
            name,
            column_kind(name),
            name.replace("_", " "),
            {scan: row.get(name) or "" for scan, row in table.items()},
        )
        for name in names
        if name not in {"participant_id", "session_id", target}
    ]


def sidecar_columns(raw: Path, scans: Sequence[Scan]) -> list[ScanColumn]:
    """Return the fields of the raw images' sidecars, and the size of their voxels."""
    contents: dict[Path, dict[str, Any]] = {}
    fields: dict[str, dict[str, str]] = {field: {} for field in SIDECAR_FIELDS}
    for scan in scans:
        merged = _merged(_sidecars(raw, scan), contents)
        for field in SIDECAR_FIELDS:
            fields[field][scan.name] = str(merged.get(field, ""))
    columns = [ScanColumn(field, SUSPECT, spaced(field), fields[field]) for field in fields]
    sizes = {scan.name: _voxel_size(scan) for scan in scans}
    return [*columns, ScanColumn("voxel_mm", SUSPECT, "voxel size in mm", sizes)]


def _sidecars(raw: Path, scan: Scan) -> list[Path]:
    """The sidecars that apply to a scan by inheritance, the most general first."""
    of_scan = parse_name(f"{scan.name}_x")[0]
    folder = raw / f"sub-{scan.participant}"
    folders = [raw, folder]
    if scan.session:
        folder /= f"ses-{scan.session}"
        folders.append(folder)
    files = [f for level in [*folders, folder / "anat"] for f in sorted(level.glob("*.json"))]
    return [file for file in files if _applies(file, of_scan)]


def _applies(sidecar: Path, of_scan: dict[str, str]) -> bool:
    """Whether a sidecar names nothing that the scan's entities contradict."""
    entities, suffix, _ = parse_name(sidecar.name)
    named = {key: value for key, value in entities.items() if key not in ("echo", "part")}
    return suffix in _RAW and all(of_scan.get(key, value) == value for key, value in named.items())


def _merged(files: Iterable[Path], contents: dict[Path, dict[str, Any]]) -> dict[str, Any]:
    """The fields of several sidecars, later over earlier; ``contents`` remembers those read."""
    by_suffix: dict[str, dict[str, Any]] = {suffix: {} for suffix in _RAW}
    for file in files:
        if file not in contents:
            contents[file] = read_json(file)
        by_suffix[parse_name(file.name)[1]].update(contents[file])
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


def quality_columns(derivatives: Path, scans: Sequence[Scan]) -> list[ScanColumn]:
    """Return the quality figures of the scans' sessions, those that are finite."""
    sessions = {(row.participant, row.session): row for row in collect_qc(derivatives)}
    columns: dict[tuple[str, str], ScanColumn] = {}
    for scan in scans:
        session = sessions.get(
            (f"sub-{scan.participant}", f"ses-{scan.session}" if scan.session else "")
        )
        for (metric, image), measure in ({} if session is None else session.measures).items():
            column = columns.setdefault(
                (metric, image),
                ScanColumn(
                    f"{metric}_{image}", quality_kind(metric), f"{measure.meaning} [{image}]", {}
                ),
            )
            if measure.value is not None:
                column.values[scan.name] = f"{measure.value:.9g}"
    return list(columns.values())
