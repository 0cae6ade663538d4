"""Where the truth lies: the regions in which a dataset's classes differ, on a heatmap's grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from bids_xai.arrays import Bools
from bids_xai.bids.images import Volume, read_volume
from bids_xai.bids.names import parse_name
from bids_xai.errors import BadDataError, NoInputError
from bids_xai.group.context import Scan
from bids_xai.group.trust.heatmaps import ExplainedSplit, heatmap_of
from bids_xai.group.trust.localization import LocatedMap
from bids_xai.stages import ants_tools
from bids_xai.stages.network_grid import load_region_mask

TRUTH = "truth"
_SPACES = ("T1w", "orig")
_OF_THE_SCAN = ("acq", "ce", "rec", "run")


def truth_folder(derivatives: Mapping[str, Path]) -> Path | None:
    """Return the folder of ``-d truth=PATH``, ``None`` where none is given.

    derivatives : name → folder, as ``--derivatives`` gives them
    Raises :class:`NoInputError` where there is no such folder.
    """
    folder = derivatives.get(TRUTH)
    if folder is not None and not folder.is_dir():
        raise NoInputError("no such folder", file=folder, fix="check --derivatives truth=…")
    return folder


def truth_files(truth: Path, scan: Scan, template: str) -> dict[str, tuple[Path, ...]]:
    """Return region → masks or label images of a scan that make it up; brain masks are no regions.

    Images on the T1w grid count, and images in the template's space for maps that lie there
    (``template``, empty for maps in T1w space); not those of another run, acquisition, contrast
    or reconstruction. Images that differ in ``hemi`` alone are the two sides of one region.
    Raises :class:`BadDataError` where two others have one name.
    """
    regions: dict[tuple[str, bool], dict[str, Path]] = {}
    for file in _images(truth, scan):
        entities, suffix, _ = parse_name(file.name)
        space = entities.get("space", "T1w")
        region = _region_name(file)
        if region == "brain" or _of_another_scan(file, scan) or space not in (*_SPACES, template):
            continue
        sides = regions.setdefault((region, space == template), {})
        side = entities.get("hemi", "")
        if side in sides and suffix == parse_name(sides[side].name)[1]:
            raise BadDataError(
                f"{sides[side].name} has the same name for a region ('{region}')",
                file=file,
                fix="give them different label- or desc- entities, or remove one",
            )
        sides.setdefault(side, file)
    return {
        region: tuple(regions.get((region, True), regions.get((region, False), {})).values())
        for region, _ in regions
    }


def _images(truth: Path, scan: Scan) -> list[Path]:
    """The masks, then the label images of a participant's session."""
    folder = truth / f"sub-{scan.participant}"
    if scan.session:
        folder /= f"ses-{scan.session}"
    return [f for kind in ("mask", "dseg") for f in sorted(folder.glob(f"anat/*_{kind}.nii*"))]


def _region_name(file: Path) -> str:
    entities, suffix, _ = parse_name(file.name)
    return entities.get("label") or entities.get("desc") or entities.get("atlas") or suffix


def _of_another_scan(file: Path, scan: Scan) -> bool:
    """Whether an image names another run, acquisition, contrast or reconstruction."""
    of_scan = parse_name(f"{scan.name}_x")[0]
    entities = parse_name(file.name)[0]
    return any(of_scan.get(k, value) != value for k, value in entities.items() if k in _OF_THE_SCAN)


def region_on_grid(files: Sequence[Path], like: Volume, scan: Scan, template: str) -> Bools | None:
    """Return where a region lies (x, y, z) on the grid of a heatmap; any label of its files counts.

    template : that ``like`` lies in, empty for the space of the T1w image. ``None`` where the
    transform from T1w space to it is not there.
    """
    sides = [_side_on_grid(file, like, scan, template) for file in files]
    masks = [side for side in sides if side is not None]
    return np.logical_or.reduce(masks) if len(masks) == len(sides) else None


def _side_on_grid(file: Path, like: Volume, scan: Scan, template: str) -> Bools | None:
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


def located_maps(
    split: ExplainedSplit, scans: Mapping[str, Scan], truth: Path, study_folder: Path, template: str
) -> Iterator[LocatedMap]:
    """Yield every heatmap of scans that have a true region, one at a time, with those regions.

    truth : folder of the true regions; study_folder : that heatmaps are given relative to
    template : that the heatmaps lie in, empty for T1w space
    """
    for name, predictions in split.heatmaps.items():
        files = truth_files(truth, scans[name], template)
        regions: dict[str, Bools | None] = {}
        for prediction in predictions if files else ():
            file = study_folder / heatmap_of(prediction)
            heatmap = read_volume(file)
            if not regions:  # all heatmaps of a scan have one grid
                regions = {
                    region: region_on_grid(parts, heatmap, scans[name], template)
                    for region, parts in files.items()
                }
            masks = {region: mask for region, mask in regions.items() if mask is not None}
            yield LocatedMap(prediction, file, heatmap, masks)
