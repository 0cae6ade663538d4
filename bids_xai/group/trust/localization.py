"""Heatmaps against the truth: the regions in which a dataset's classes are known to differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bids_xai.arrays import Bools
from bids_xai.bids.images import Volume, read_volume
from bids_xai.bids.names import parse_name
from bids_xai.core.localization import localize
from bids_xai.errors import BadDataError, NoInputError, naming
from bids_xai.group.context import GroupContext, Scan
from bids_xai.group.trust.scans import SCAN, SCAN_COLUMNS, Job, about
from bids_xai.stages import ants_tools
from bids_xai.stages.network_grid import load_region_mask

LOCALIZATION_COLUMNS = SCAN_COLUMNS | {
    "outcome": "TP, FP, TN or FN",
    "region": "True region, by the label or desc of its file",
    "mass_accuracy": "Share of the positive relevance that lies in the region; n/a, like the "
    "other two measures, of a map without any",
    "rank_accuracy": "Of the K highest voxels, K being the size of the region, the share in it",
    "pointing_game": "1 where the highest voxel lies in the region, else 0",
    "n_voxels": "Size K of the region on the network's grid",
    "chance": "Share of the grid that the region makes up: what a flat map would have",
    **SCAN,
}
TRUTH = "truth"
_SPACES = ("T1w", "orig")
_OWN = ("acq", "ce", "rec", "run")


def truth_folder(context: GroupContext) -> Path | None:
    """The folder of ``-d truth=PATH``, ``None`` where none is given.

    Raises :class:`NoInputError` where there is no such folder.
    """
    found = dict(context.settings.derivatives).get(TRUTH)
    if found is not None and not found.is_dir():
        raise NoInputError("no such folder", file=found, fix="check --derivatives truth=…")
    return found


def truth_files(root: Path, scan: Scan, template: str) -> dict[str, tuple[Path, ...]]:
    """Region → masks or label images of a scan that make it up; brain masks are no regions.

    Images on the T1w grid count, and images in the template's space for maps that lie there
    (``template``, empty for maps in T1w space); not those of another run, acquisition, contrast
    or reconstruction. Images that differ in ``hemi`` alone are the two sides of one region.
    Raises :class:`BadDataError` where two others have one name.
    """
    place = root / f"sub-{scan.participant}"
    if scan.session:
        place /= f"ses-{scan.session}"
    own = parse_name(f"{scan.name}_x")[0]
    found: dict[tuple[str, bool], dict[str, Path]] = {}
    files = [f for kind in ("mask", "dseg") for f in sorted(place.glob(f"anat/*_{kind}.nii*"))]
    for file in files:
        entities, suffix, _ = parse_name(file.name)
        name = entities.get("label") or entities.get("desc") or entities.get("atlas") or suffix
        space = entities.get("space", "T1w")
        other = any(own.get(key, value) != value for key, value in entities.items() if key in _OWN)
        if name == "brain" or other or space not in (*_SPACES, template):
            continue
        sides = found.setdefault((name, space == template), {})
        side = entities.get("hemi", "")
        if side in sides and suffix == parse_name(sides[side].name)[1]:
            raise BadDataError(
                f"{sides[side].name} has the same name for a region ('{name}')",
                file=file,
                fix="give them different label- or desc- entities, or remove one",
            )
        sides.setdefault(side, file)
    return {
        name: tuple(found.get((name, True), found.get((name, False), {})).values())
        for name, _ in found
    }


def region_on_grid(files: Sequence[Path], like: Volume, scan: Scan, template: str) -> Bools | None:
    """Where a region lies (x, y, z) on the grid of a heatmap; any label of its files counts.

    template : that ``like`` lies in, empty for the space of the T1w image. ``None`` where the way
    from T1w space to it is not known.
    """
    parts = [_part_on_grid(file, like, scan, template) for file in files]
    known = [part for part in parts if part is not None]
    return np.logical_or.reduce(known) if len(known) == len(parts) else None


def _part_on_grid(file: Path, like: Volume, scan: Scan, template: str) -> Bools | None:
    space = parse_name(file.name)[0].get("space", "T1w")
    if not template or space == template:
        return np.asarray(load_region_mask(file, [], like).data > 0)
    transforms = sorted(scan.map_file.parent.glob(f"*_from-T1w_to-{template}_mode-image_xfm.h5"))
    if len(transforms) != 1:
        return None
    mask = read_volume(file, np.int32)
    inside = Volume((mask.data > 0).astype(np.float32), mask.affine)
    warped = ants_tools.resample(ants_tools.ants_module(0), inside, like, transforms)
    return np.asarray(warped > 0.5)


def localization_rows(
    context: GroupContext, job: Job, scans: Mapping[str, Scan], root: Path
) -> list[dict[str, Any]]:
    """Compare every heatmap of a job with every true region of its scan.

    A region that no voxel of the network's grid has half of is left out.
    """
    template = template_of(context, job)
    rows: list[dict[str, Any]] = []
    for name, mine in job.rows.items():
        files = truth_files(root, scans[name], template)
        regions: dict[str, Bools | None] = {}
        for row in mine if files else ():
            heatmap = read_volume(context.folder / row["relevance"])
            if not regions:  # all heatmaps of a scan have one grid
                regions = {
                    region: region_on_grid(those, heatmap, scans[name], template)
                    for region, those in files.items()
                }
            with naming(context.folder / row["relevance"]):
                rows += _compared(context, row, heatmap, regions)
    return rows


def template_of(context: GroupContext, job: Job) -> str:
    """The template that the maps of a job lie in, empty for those in T1w space."""
    (table,) = (one for one in context.study.configurations if one.id == job.configuration)
    return context.template if context.study.of(table).input.space == "template" else ""


def _compared(
    context: GroupContext, row: dict[str, str], heatmap: Volume, regions: Mapping[str, Bools | None]
) -> list[dict[str, Any]]:
    rows = []
    for name, region in regions.items():
        if region is None or not region.any():
            continue
        found = localize(
            heatmap.data,
            region,
            voxel_mm=heatmap.voxel_mm,
            tolerance_mm=context.study.quality.tolerance_mm,
        )
        rows.append(
            {
                **about(row),
                "outcome": row["outcome"],
                "region": name,
                "mass_accuracy": found.mass_accuracy,
                "rank_accuracy": found.rank_accuracy,
                "pointing_game": found.pointing_game,
                "n_voxels": found.n_voxels,
                "chance": found.chance,
            }
        )
    return rows
