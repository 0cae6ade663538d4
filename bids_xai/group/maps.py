"""Where the maps of a study lie among participant derivatives, and what belongs to each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bids_xai.bids.names import parse_name, scan_name
from bids_xai.errors import BadDataError, NoInputError
from bids_xai.group.context import GroupContext, Scan
from bids_xai.studies.tables import Configuration, Input

_AGAIN = "run the participant level again for this participant"


@dataclass(frozen=True)
class MapFiles:
    """A map, the brain mask on its grid, and the transform to the template.

    ``to_template`` is ``None`` for maps in template space; ``problem`` tells what is missing.
    """

    map: Path
    mask: Path | None = None
    to_template: Path | None = None
    problem: str | None = None

    @property
    def entities(self) -> dict[str, str]:
        """The entities of the map's name."""
        return parse_name(self.map.name)[0]


def input_root(context: GroupContext, table: Input) -> Path:
    """Return the folder whose ``sub-*`` hold the maps.

    Raises :class:`NoInputError` for a name that no ``--derivatives`` option gives.
    """
    if not table.derivatives:
        return context.output_dir
    folders = dict(context.settings.derivatives)
    if table.derivatives not in folders:
        raise NoInputError(
            f"the study takes its maps from '{table.derivatives}', which is not given",
            fix=f"add --derivatives {table.derivatives}=<participant output folder>",
        )
    return folders[table.derivatives].resolve()


def find_maps(context: GroupContext, table: Input) -> list[MapFiles]:
    """Return every map of a study's input among the derivatives, sorted.

    Of several resolutions of a template the finest counts.
    Raises :class:`NoInputError` where there is none.
    """
    root = input_root(context, table)
    pattern = f"anat/*_{table.suffix}.nii.gz"
    files = [*root.glob(f"sub-*/{pattern}"), *root.glob(f"sub-*/ses-*/{pattern}")]
    found = sorted(f for f in files if _wanted(f, table, context.template))
    if not found:
        raise NoInputError(
            f"no {_words(table, context.template)} in the output folder",
            file=root,
            fix="run the participant level first, with "
            f"{'megre' if table.suffix == 'R2starmap' else table.suffix} among --inputs, "
            "into the same folder",
        )
    return [_with_companions(f, table, context.template) for f in _finest(found)]


def scans_of(context: GroupContext, configuration: Configuration, every: list[Scan]) -> list[Scan]:
    """Return the scans with the files that a configuration takes its input from.

    Raises :class:`NoInputError` or :class:`BadDataError` where one of its maps is missing.
    """
    table = context.study.of(configuration).input
    keys = ("suffix", "desc", "space", "derivatives")
    if all(getattr(table, key) == getattr(context.study.input, key) for key in keys):
        return every
    return [_elsewhere(scan, context, table) for scan in every]


def _elsewhere(scan: Scan, context: GroupContext, table: Input) -> Scan:
    """The same scan with the files of another input."""
    found = _same_scan(scan, context, table)
    if found.mask is None:
        raise BadDataError("brain mask missing", file=found.map, fix=_AGAIN)
    return replace(scan, map_file=found.map, mask_file=found.mask, to_template=found.to_template)


def _same_scan(scan: Scan, context: GroupContext, table: Input) -> MapFiles:
    folder = input_root(context, table) / f"sub-{scan.participant}"
    if scan.session:
        folder /= f"ses-{scan.session}"
    files = sorted((folder / "anat").glob(f"*_{table.suffix}.nii.gz"))
    name = scan.name
    mine = [f for f in files if _wanted(f, table, context.template) and scan_name(f.name) == name]
    if not mine:
        raise NoInputError(
            f"no {_words(table, context.template)} of {name}",
            file=folder,
            fix="run the participant level for this participant into that folder too",
        )
    other = _with_companions(_finest(mine)[0], table, context.template)
    if other.problem:
        raise BadDataError(other.problem, file=other.map, fix=_AGAIN)
    return other


def _wanted(file: Path, table: Input, template: str) -> bool:
    entities, _, _ = parse_name(file.name)
    if entities.get("desc", "") != table.desc or {"model", "label", "atlas"} & set(entities):
        return False
    if table.space == "template":
        return bool(template) and entities.get("space") == template
    own_grid = table.suffix == "T1w"  # its space is its own grid, which no entity names
    return entities.get("space", "T1w" if own_grid else "") == "T1w"


def _words(table: Input, template: str) -> str:
    desc = f"desc-{table.desc}_" if table.desc else ""
    space = template if table.space == "template" else "T1w"
    own = table.space == "T1w" and table.suffix == "T1w"
    return f"*_{'' if own else f'space-{space}_'}{desc}{table.suffix}.nii.gz"


def _finest(files: list[Path]) -> list[Path]:
    """One file a scan: that of the finest resolution."""
    chosen: dict[tuple[Path, str], Path] = {}
    for file in sorted(files, key=_resolution, reverse=True):
        chosen[file.parent, scan_name(file.name)] = file
    return sorted(chosen.values())


def _resolution(file: Path) -> int:
    value = parse_name(file.name)[0].get("res", "0")
    return int(value) if value.isdigit() else 0


def _with_companions(file: Path, table: Input, template: str) -> MapFiles:
    entities = parse_name(file.name)[0]
    grid = {key: entities[key] for key in ("space", "cohort", "res") if key in entities}
    if table.space == "T1w":
        grid = {}  # the mask on the T1w grid names no space
    masks = []
    for found in sorted(file.parent.glob("*_desc-brain_mask.nii.gz")):
        of_mask = parse_name(found.name)[0]
        if {key: of_mask[key] for key in ("space", "cohort", "res") if key in of_mask} == grid:
            masks.append(found)
    mask = masks[0] if len(masks) == 1 else None
    if table.space == "template":
        return MapFiles(file, mask, None, None if mask else "brain mask missing")
    transforms = sorted(file.parent.glob(f"*_from-T1w_to-{template}_mode-image_xfm.h5"))
    transform = transforms[0] if template and len(transforms) == 1 else None
    if mask is None or (template and transform is None):
        return MapFiles(file, mask, transform, "brain mask or transform to the template missing")
    return MapFiles(file, mask, transform)


def known_scan(context: GroupContext, scans: Mapping[str, Scan], name: str) -> Scan:
    """The scan of a heatmap, by the name that ``predictions.tsv`` gives it.

    Raises :class:`BadDataError` where it is not among them, as after a change of the cohort.
    """
    if name not in scans:
        raise BadDataError(
            f"the scan {name} is not in the cohort any more",
            file=context.folder / "predictions.tsv",
            fix="run the group level again with --steps train explain before this step",
        )
    return scans[name]


def lesion_mask(context: GroupContext, scan: Scan) -> Path | None:
    """Return the scan's lesion mask in the space of its map, ``None`` where there is none.

    Of several resolutions that of the map, else the finest, counts.
    """
    of_map = parse_name(scan.map_file.name)[0]
    space = context.template if _in_template(context) else "T1w"
    found = []
    for file in sorted(scan.map_file.parent.glob("*_label-lesion_mask.nii.gz")):
        entities = parse_name(file.name)[0]
        here = entities.get("space") == space and entities.get("cohort") == of_map.get("cohort")
        if here:
            res = entities.get("res", "0")
            finer = int(res) if res.isdigit() else 0
            found.append((res != of_map.get("res", "0"), finer, file))
    return min(found)[-1] if found else None


def _in_template(context: GroupContext) -> bool:
    return context.study.input.space == "template"
