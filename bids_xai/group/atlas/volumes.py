"""What is known of the scans themselves: volumes of regions, lesion load, relevance in lesions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bids_xai.arrays import Floats64
from bids_xai.bids.images import Volume, read_volume
from bids_xai.bids.names import scan_name
from bids_xai.core.regions.lesions import filled_part, lesion_share
from bids_xai.core.regions.names import joined_regions
from bids_xai.errors import BadDataError, NoInputError
from bids_xai.group.atlas.region_values import Row
from bids_xai.group.context import LOG, GroupContext, Scan
from bids_xai.group.maps import input_space, lesion_mask
from bids_xai.group.people import read_table, with_prefix
from bids_xai.runtime.progress import Progress
from bids_xai.templates.lookup import Atlas

USER_VOLUMES = "volumes"  # NAME of --derivatives NAME=PATH for a table of the user's

VOLUME_COLUMNS = {
    "scan": "Scan, as in the names of its files",
    "atlas": "Atlas",
    "index": "Label value of the region",
    "name": "Name of the region",
    "volume_ml": "Volume of the region in the T1w image, from the warped atlas, in ml",
}


@dataclass(frozen=True)
class Biology:
    """What is known of the scans themselves; arrays by line of the predictions, NaN if unknown.

    volumes : atlas → (n_maps, n_labels) ml, or as in the user's table; source : dseg or table
    lesion_load : (n_maps,) ml; lesion_share : (n_maps,) from 0 to 1
    """

    volumes: Mapping[str, Floats64]
    source: Mapping[str, str]
    lesion_load: Floats64
    lesion_share: Floats64


def gather(
    context: GroupContext, rows: Sequence[Row], atlases: Sequence[Atlas]
) -> tuple[Biology, list[dict[str, Any]]]:
    """Read volumes and lesions of the scans behind predictions; also the lines of ``volumes.tsv``.

    Raises the errors of :func:`load_scans`, and of a user's table that cannot be used.
    """
    scans = _scans(context, rows)
    volumes: dict[str, Floats64] = {}
    source: dict[str, str] = {}
    lines: list[dict[str, Any]] = []
    table = dict(context.settings.derivatives).get(USER_VOLUMES)
    for atlas in atlases:
        if table is not None:
            found = _user_volumes(table, rows, atlas)
            if np.isfinite(found).any():
                volumes[atlas.name], source[atlas.name] = found, "table"
                continue
        found, more = _warped_volumes(scans, atlas)
        if np.isfinite(found).any():
            volumes[atlas.name], source[atlas.name] = found, "dseg"
            lines += more
    load, share = _lesions(context, rows, scans)
    return Biology(volumes, source, load, share), lines


def source_files(context: GroupContext) -> list[Path]:
    """Return the files that volumes and lesions come from, as far as they exist."""
    table = dict(context.settings.derivatives).get(USER_VOLUMES)
    files = [context.folder / "cohort.tsv", *([] if table is None else [table])]
    if files[0].is_file():
        for folder in {scan.map_file.parent for scan in context.scans()}:
            files += folder.glob("*_space-T1w_atlas-*_dseg.nii.gz")
            files += folder.glob("*_label-lesion_mask.nii.gz")
    return [file for file in files if file.is_file()]


def _scans(context: GroupContext, rows: Sequence[Row]) -> list[Scan | None]:
    """The scan behind every prediction, with the files of its configuration's own input."""
    every = context.scans()
    by_configuration = {
        configuration.id: {s.name: s for s in context.scans_of(configuration, every)}
        for configuration in context.study.configurations
        if any(row["configuration"] == configuration.id for row in rows)
    }
    return [
        by_configuration.get(row["configuration"], {}).get(scan_name(row["relevance"]))
        for row in rows
    ]


def _warped_volumes(
    scans: Sequence[Scan | None], atlas: Atlas
) -> tuple[Floats64, list[dict[str, Any]]]:
    """Volumes in ml (n_maps, n_labels) of the atlas on the T1w grid, and a line each."""
    known: dict[str, Floats64] = {}
    lines: list[dict[str, Any]] = []
    unknown = np.full(len(atlas.labels), np.nan)
    watch = Progress(f"scans measured on atlas {atlas.name}", len(scans))
    for scan in scans:
        watch.step()
        if scan is None or scan.name in known:
            continue
        pattern = f"*_space-T1w_atlas-{atlas.name}_dseg.nii.gz"
        files = sorted(scan.map_file.parent.glob(pattern))
        known[scan.name] = _volumes_ml(files[0], atlas) if files else unknown
        lines += [
            {"scan": scan.name, "atlas": atlas.name, "index": index, "name": name, "volume_ml": ml}
            for (index, name), ml in zip(atlas.labels, known[scan.name], strict=True)
            if files
        ]
    without = sum(1 for values in known.values() if values is unknown)
    if without:
        LOG.warning(
            "atlas %s: %d of %d scans have no atlas on their T1w image (participant level with "
            "--atlas %s); their volumes are unknown",
            atlas.name,
            without,
            len(known),
            atlas.name,
        )
    return np.array([unknown if s is None else known[s.name] for s in scans]), lines


def _volumes_ml(file: Path, atlas: Atlas) -> Floats64:
    image = read_volume(file, np.int32)
    values, counts = np.unique(image.data[image.data > 0], return_counts=True)
    found = dict(zip(values.tolist(), counts.tolist(), strict=True))
    voxel_ml = _voxel_ml(image)
    return np.array([found.get(index, 0) * voxel_ml for index, _ in atlas.labels])


def _voxel_ml(image: Volume) -> float:
    return abs(float(np.linalg.det(image.affine[:3, :3]))) / 1000


def _user_volumes(path: Path, rows: Sequence[Row], atlas: Atlas) -> Floats64:
    """Volumes (n_maps, n_labels) from the user's table: one column a region.

    Columns are matched with names of regions, whatever their case and separators; a column of
    joined sides gives its value to the first of them, the others 0, so that the sum is right.
    """
    if not path.is_file():
        raise NoInputError(
            "no such table of volumes", file=path, fix="check --derivatives volumes=TABLE.tsv"
        )
    header, lines = read_table(path)
    if "participant_id" not in header:
        raise BadDataError(
            "no column participant_id", file=path, fix="add it: one line a participant or session"
        )
    found = np.full((len(rows), len(atlas.labels)), np.nan)
    columns = _matched_columns(header, atlas)
    if not columns:
        LOG.warning("%s has no column named like a region of atlas %s", path.name, atlas.name)
        return found
    by_scan = {
        (with_prefix(line["participant_id"] or ""), _session(line)): (number, line)
        for number, line in lines
    }
    for row_number, row in enumerate(rows):
        person = row["participant_id"]
        line_number, cells = by_scan.get(
            (person, row["session_id"]), by_scan.get((person, "n/a"), (0, {}))
        )
        for column, members in columns.items():
            values = _number(cells.get(column), path, line_number, column)
            found[row_number, members] = 0.0 if np.isfinite(values) else np.nan
            found[row_number, members[0]] = values
    return found


def _session(line: Mapping[str, str]) -> str:
    session = line.get("session_id") or "n/a"
    return session if session == "n/a" else with_prefix(session, "ses-")


def _matched_columns(header: Sequence[str], atlas: Atlas) -> dict[str, list[int]]:
    """Column → places of its region's labels. Sides apart win over sides joined."""
    single = {_plain(name): [place] for place, (_, name) in enumerate(atlas.labels)}
    joined = {_plain(r.name): list(r.members) for r in joined_regions(atlas.labels)}
    found: dict[str, list[int]] = {}
    taken: set[int] = set()
    for known in (single, joined):
        for column in header:
            members = known.get(_plain(column))
            if members and column not in found and not taken & set(members):
                found[column] = members
                taken |= set(members)
    return found


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _number(text: str | None, path: Path, line: int, column: str) -> float:
    if text in (None, "", "n/a"):
        return float("nan")
    try:
        return float(str(text))
    except ValueError as error:
        raise BadDataError(
            f"'{text}' in line {line}, column {column}, is no number",
            file=path,
            fix="correct it, or write n/a",
        ) from error


def _lesions(
    context: GroupContext, rows: Sequence[Row], scans: Sequence[Scan | None]
) -> tuple[Floats64, Floats64]:
    """Lesion load in ml and share of positive relevance in lesions, (n_maps,) each."""
    load, share = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    studies = {c.id: context.study.of(c) for c in context.study.configurations}

    watch = Progress("heatmaps laid over lesions", len(rows))
    for line, (row, scan) in enumerate(zip(rows, scans, strict=True)):
        watch.step()
        if scan is None:
            continue
        file = lesion_mask(scan, input_space(studies[row["configuration"]].input, context.template))
        if file is None:
            continue
        mask, relevance = read_volume(file), read_volume(context.folder / row["relevance"])
        filled = filled_part(mask.data, mask.affine, relevance.data.shape, relevance.affine)
        load[line] = float((mask.data > 0).sum()) * _voxel_ml(mask)
        share[line] = lesion_share(relevance.data, filled)
    return load, share
