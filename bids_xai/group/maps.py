"""Where the maps of a study lie among participant derivatives, and what belongs to each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bids_xai.bids.images import Volume
from bids_xai.bids.names import parse_name, scan_name
from bids_xai.errors import BadDataError, NoInputError
from bids_xai.group.scans import Scan
from bids_xai.studies.tables import Input
from bids_xai.templates.grid import TemplateGrid

_AGAIN = "run the participant level again for this participant"
_SOURCE_KEYS = ("suffix", "desc", "space", "derivatives")
_GRID_ENTITIES = ("space", "cohort", "res")


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

    @property
    def participant(self) -> str:
        """``sub-X``."""
        return f"sub-{self.entities.get('sub', '')}"

    @property
    def session(self) -> str:
        """``ses-X``, empty where there are no sessions."""
        entities = self.entities
        return f"ses-{entities['ses']}" if "ses" in entities else ""


@dataclass(frozen=True)
class MapSource:
    """The derivatives that maps are taken from.

    output_dir : folder of the participant derivatives
    template : that all scans were normalised to; empty where there is none
    derivatives : name → other folder of participant derivatives (``--derivatives``)
    """

    output_dir: Path
    template: str
    derivatives: Mapping[str, Path]

    def root(self, table: Input) -> Path:
        """Return the folder whose ``sub-*`` hold the maps of a study's input.

        Raises :class:`NoInputError` for a name that no ``--derivatives`` option gives.
        """
        if not table.derivatives:
            return self.output_dir
        if table.derivatives not in self.derivatives:
            raise NoInputError(
                f"the study takes its maps from '{table.derivatives}', which is not given",
                fix=f"add --derivatives {table.derivatives}=<participant output folder>",
            )
        return self.derivatives[table.derivatives].resolve()

    def maps(self, table: Input) -> list[MapFiles]:
        """Return every map of a study's input among the derivatives, sorted.

        Of several resolutions of a template the finest counts.
        Raises :class:`NoInputError` where there is none.
        """
        root = self.root(table)
        pattern = f"anat/*_{table.suffix}.nii.gz"
        files = [*root.glob(f"sub-*/{pattern}"), *root.glob(f"sub-*/ses-*/{pattern}")]
        maps = sorted(file for file in files if _is_input(file, table, self.template))
        if not maps:
            raise NoInputError(
                f"no {_pattern(table, self.template)} in the output folder",
                file=root,
                fix="run the participant level first, with "
                f"{'megre' if table.suffix == 'R2starmap' else table.suffix} among --inputs, "
                "into the same folder",
            )
        return [_with_companions(file, table, self.template) for file in _finest(maps)]

    def scans_of(self, table: Input, scans: Sequence[Scan], listed: Input) -> list[Scan]:
        """Return the scans with the files of an input.

        table : the input asked for; listed : the input whose files the scans come with
        Raises :class:`NoInputError` or :class:`BadDataError` where a map is missing.
        """
        if all(getattr(table, key) == getattr(listed, key) for key in _SOURCE_KEYS):
            return scans if isinstance(scans, list) else list(scans)
        return [self._with_input(scan, table) for scan in scans]

    def _with_input(self, scan: Scan, table: Input) -> Scan:
        """The same scan with the files of another input."""
        files = self._files_of(scan, table)
        if files.mask is None:
            raise BadDataError("brain mask missing", file=files.map, fix=_AGAIN)
        return replace(
            scan, map_file=files.map, mask_file=files.mask, to_template=files.to_template
        )

    def _files_of(self, scan: Scan, table: Input) -> MapFiles:
        folder = self.root(table) / f"sub-{scan.participant}"
        if scan.session:
            folder /= f"ses-{scan.session}"
        maps = [
            file
            for file in sorted((folder / "anat").glob(f"*_{table.suffix}.nii.gz"))
            if _is_input(file, table, self.template) and scan_name(file.name) == scan.name
        ]
        if not maps:
            raise NoInputError(
                f"no {_pattern(table, self.template)} of {scan.name}",
                file=folder,
                fix="run the participant level for this participant into that folder too",
            )
        files = _with_companions(_finest(maps)[0], table, self.template)
        if files.problem:
            raise BadDataError(files.problem, file=files.map, fix=_AGAIN)
        return files


def _is_input(file: Path, table: Input, template: str) -> bool:
    """Whether a file is a map of the input: of its desc and space, and made from no model."""
    entities, _, _ = parse_name(file.name)
    if entities.get("desc", "") != table.desc or {"model", "label", "atlas"} & set(entities):
        return False
    if table.space == "template":
        return bool(template) and entities.get("space") == template
    names_no_space = table.suffix == "T1w"  # its space is its own grid, which no entity names
    return entities.get("space", "T1w" if names_no_space else "") == "T1w"


def _pattern(table: Input, template: str) -> str:
    """How the names of an input's maps look, for messages."""
    desc = f"desc-{table.desc}_" if table.desc else ""
    names_no_space = table.space == "T1w" and table.suffix == "T1w"
    space = "" if names_no_space else f"space-{input_space(table, template)}_"
    return f"*_{space}{desc}{table.suffix}.nii.gz"


def input_space(table: Input, template: str) -> str:
    """Return the name of the space that the maps of an input lie in: the template or ``T1w``."""
    return template if table.space == "template" else "T1w"


def _finest(files: Sequence[Path]) -> list[Path]:
    """One file a scan: that of the finest resolution."""
    finest: dict[tuple[Path, str], Path] = {}
    for file in sorted(files, key=_resolution, reverse=True):
        finest[file.parent, scan_name(file.name)] = file
    return sorted(finest.values())


def _resolution(file: Path) -> int:
    value = parse_name(file.name)[0].get("res", "0")
    return int(value) if value.isdigit() else 0


def _with_companions(file: Path, table: Input, template: str) -> MapFiles:
    mask = _mask_beside(file, table)
    if table.space == "template":
        return MapFiles(file, mask, None, None if mask else "brain mask missing")
    transforms = sorted(file.parent.glob(f"*_from-T1w_to-{template}_mode-image_xfm.h5"))
    transform = transforms[0] if template and len(transforms) == 1 else None
    if mask is None or (template and transform is None):
        return MapFiles(file, mask, transform, "brain mask or transform to the template missing")
    return MapFiles(file, mask, transform)


def _mask_beside(file: Path, table: Input) -> Path | None:
    """The brain mask on the grid of a map; ``None`` for none or several."""
    grid = {} if table.space == "T1w" else _grid(file)  # that of the T1w grid names no space
    masks = [
        mask for mask in sorted(file.parent.glob("*_desc-brain_mask.nii.gz")) if _grid(mask) == grid
    ]
    return masks[0] if len(masks) == 1 else None


def _grid(file: Path) -> dict[str, str]:
    """The entities of a name that tell the grid of an image."""
    entities = parse_name(file.name)[0]
    return {key: entities[key] for key in _GRID_ENTITIES if key in entities}


def lesion_mask(scan: Scan, space: str) -> Path | None:
    """Return the scan's lesion mask in a space, ``None`` where there is none.

    space : of the scan's map, see :func:`input_space`
    Of several resolutions that of the map, else the finest, counts.
    """
    of_map = parse_name(scan.map_file.name)[0]
    masks = []
    for file in sorted(scan.map_file.parent.glob("*_label-lesion_mask.nii.gz")):
        entities = parse_name(file.name)[0]
        if entities.get("space") == space and entities.get("cohort") == of_map.get("cohort"):
            other_resolution = entities.get("res", "0") != of_map.get("res", "0")
            masks.append((other_resolution, _resolution(file), file))
    return min(masks)[-1] if masks else None


def labels_over(scan: Scan, grid: TemplateGrid | None) -> Path | Volume | None:
    """Return the first atlas over a scan: on its T1w grid, or that of the template it lies in."""
    if scan.to_template is None:
        return grid.atlas.volume if grid and grid.atlas else None
    files = sorted(scan.map_file.parent.glob("*_space-T1w_atlas-*_dseg.nii.gz"))
    return files[0] if files else None
