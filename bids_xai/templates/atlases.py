"""Atlases by name or from files: the embedded one, any of TemplateFlow's, and the user's own.

Every atlas that does not come with this package is checked before use: whole numbers, names that
fit the image, a place inside the template's brain, and names of a side on that side.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bids_xai.arrays import Floats64
from bids_xai.bids.images import Volume, read_header, read_volume
from bids_xai.core.grids import nearest_on_grid
from bids_xai.core.regions.labels import (
    LabelCentroids,
    label_centroids_mm,
    share_inside,
    swapped_sides,
    whole_labels,
)
from bids_xai.errors import BadDataError, NoInputError, UserError
from bids_xai.settings import EMBEDDED_TEMPLATE, OutputSpace
from bids_xai.templates import flow
from bids_xai.templates.atlas_spec import EMBEDDED_ATLAS, AtlasSpec, parse_atlas
from bids_xai.templates.flow_atlases import flow_pair, variants_of
from bids_xai.templates.label_tables import find_label_table, read_label_table
from bids_xai.templates.template import from_nibabel, load_mask

LOG = logging.getLogger("bids_xai")

LEAST_INSIDE = 0.3  # of an atlas's labelled voxels, inside the template's brain mask
_DOUBTFUL_INSIDE = 0.8  # below this a warning; atlases of a sister MNI space reach 0.9
LEAST_NAMED = 0.5  # of the labels in an image, named by its table
_SHOWN = 5  # labels named in a message
_FLOW_DEFAULT = "HOSPA"  # Harvard-Oxford subcortical, the atlas most TemplateFlow spaces have

ATLAS_DESCRIPTIONS = {
    EMBEDDED_ATLAS: "Drawn shapes of caudate, putamen and pallidum with grey matter, white matter "
    "and fluid of each side from the ICBM 2009a tissue maps; for orientation, not histology",
    "HOSPA": "Harvard-Oxford subcortical structures, 25 % threshold, from TemplateFlow",
}


@dataclass(frozen=True)
class Atlas:
    """A label image (int32, 0 = background) and the name of every label that has voxels.

    image, table : the files it was made from, ``None`` for the embedded atlas
    """

    name: str
    volume: Volume
    labels: tuple[tuple[int, str], ...]
    description: str = ""
    image: Path | None = None
    table: Path | None = None


def load_atlas(space: OutputSpace, spec: AtlasSpec | None = None) -> Atlas | None:
    """Return an atlas on the grid of an output space; without ``spec`` the default one.

    The default is the embedded atlas, or Harvard-Oxford subcortical of TemplateFlow, ``None``
    where that has none for this template. Errors as :func:`load_atlas_spec`.
    """
    if spec is not None:
        return load_atlas_spec(spec, space)
    if space.template == EMBEDDED_TEMPLATE:
        return _embedded(space)
    spec = AtlasSpec(_FLOW_DEFAULT)
    if not variants_of(spec, flow.template_files(space, "dseg")):
        return None
    return load_atlas_spec(spec, space)


def load_atlas_spec(spec: AtlasSpec, space: OutputSpace) -> Atlas:
    """Return the atlas asked for, resampled by nearest neighbour to the grid of ``space``.

    The user's own image must be in the space of the template. Labels without a name are called
    ``label-<n>``; names without voxels are left out; both are logged.
    Raises :class:`NoInputError` for what is not there, :class:`UsageError` for a name that fits
    several atlases of TemplateFlow, :class:`BadDataError` for an image or a table that cannot be
    used, that do not fit each other or the template, or whose names are on the wrong side.
    """
    if spec.image is not None:
        _check_declared(spec, space)
        table = spec.table or find_label_table(spec.image)
        if table is None:
            raise NoInputError(
                f"atlas {spec.name} has no label table beside its image",
                file=spec.image,
                fix=f"give one: --atlas {spec.name}={spec.image},LABELS.tsv",
            )
        return _checked_atlas(spec, space, spec.image, table)
    if space.template == EMBEDDED_TEMPLATE or spec.name == EMBEDDED_ATLAS:
        if space.template != EMBEDDED_TEMPLATE or spec != AtlasSpec(EMBEDDED_ATLAS):
            raise _only_embedded(spec, space)
        return _embedded(space)
    image, table = flow_pair(spec, space)
    return _checked_atlas(spec, space, image, table)


def atlas_files(texts: Sequence[str]) -> list[Path]:
    """Return the user's files, as far as they exist, behind atlases of the command line."""
    files: list[Path | None] = []
    for spec in (parse_atlas(text) for text in texts if text):
        if spec.image is not None:
            files += [spec.image, spec.table or find_label_table(spec.image)]
    return [file for file in files if file is not None and file.is_file()]


def _embedded(space: OutputSpace) -> Atlas:
    from bids_xai.templates import embedded

    image, labels = embedded.atlas(float(space.resolution))
    description = ATLAS_DESCRIPTIONS[EMBEDDED_ATLAS]
    return Atlas(EMBEDDED_ATLAS, from_nibabel(image, np.int32), tuple(labels), description)


def _only_embedded(spec: AtlasSpec, space: OutputSpace) -> UserError:
    if spec.name == EMBEDDED_ATLAS:
        return NoInputError(
            f"the atlas {EMBEDDED_ATLAS} exists for the template {EMBEDDED_TEMPLATE} only, "
            f"not for {space}",
            fix=f"--output-spaces {EMBEDDED_TEMPLATE}:res-2, or another --atlas",
        )
    return NoInputError(
        f"the embedded template {EMBEDDED_TEMPLATE} has only the atlas {EMBEDDED_ATLAS}, "
        f"not {spec}",
        fix=f"--atlas {EMBEDDED_ATLAS}, your own --atlas {spec.label}=dseg.nii.gz,labels.tsv, or a "
        "template of TemplateFlow in --output-spaces",
    )


def _check_declared(spec: AtlasSpec, space: OutputSpace) -> None:
    if not spec.fits(space):
        raise BadDataError(
            f"atlas {spec.name} is in the space {spec.template}, as its file name says, not in "
            f"{space.template}",
            file=spec.image,
            fix=f"use --output-spaces {spec.template}, warp the atlas to {space.template}, or "
            "rename the file if its name is wrong",
        )


def _checked_atlas(spec: AtlasSpec, space: OutputSpace, image: Path, table: Path) -> Atlas:
    labels, affine = _read_labels(spec, image)
    places = label_centroids_mm(labels, affine)
    names = _names_of(spec, places, image, table)
    mask = load_mask(space)
    _check_inside_brain(spec, space, share_inside(labels, affine, mask.data, mask.affine), image)
    _check_sides(spec, names, places, image, table)
    data = nearest_on_grid(labels, affine, mask.data.shape, mask.affine)
    left = set(np.unique(data).tolist())
    _tell(spec, "are lost on the grid of " + str(space), [n for n in names if n[0] not in left])
    remaining = tuple(each for each in names if each[0] in left)
    return Atlas(
        spec.label,
        Volume(data, mask.affine),
        remaining,
        _description(spec, image, table),
        image,
        table,
    )


def _description(spec: AtlasSpec, image: Path, table: Path) -> str:
    if spec.image is not None:
        return f"Atlas {spec.name} of the user's files {image.name} and {table.name}"
    origin = f"Atlas {spec} of TemplateFlow's files {image.name} and {table.name}"
    return ATLAS_DESCRIPTIONS.get(spec.label, origin)


def _read_labels(spec: AtlasSpec, image: Path) -> tuple[NDArray[np.int32], Floats64]:
    """Return labels (x, y, z) and affine; integral values are never read as float32."""
    shape, affine = read_header(image)
    if len(shape) > 3 and any(n != 1 for n in shape[3:]):
        raise BadDataError(
            f"atlas {spec.name} is 4-D, {shape}: probability maps or a series, not labels",
            file=image,
            fix="make a 3-D label image: in each voxel the number of the most probable region, "
            "counted from 1, and 0 where none reaches your threshold (such as 25 %)",
        )
    try:
        labels = whole_labels(read_volume(image, np.float64).data)
    except BadDataError as error:
        raise BadDataError(error.problem, file=error.file or image, fix=error.fix) from error
    if not labels.any():
        raise BadDataError(
            f"atlas {spec.name} has no labels, only 0", file=image, fix="check the image"
        )
    return labels, affine


def _names_of(
    spec: AtlasSpec, places: LabelCentroids, image: Path, table: Path
) -> list[tuple[int, str]]:
    """Return (label, name) of every label in the image, ascending."""
    names_in_table = read_label_table(table)
    values = places.values.tolist()
    unnamed = [value for value in values if value not in names_in_table]
    if len(unnamed) > LEAST_NAMED * len(values):
        raise BadDataError(
            f"the label table names only {len(values) - len(unnamed)} of the {len(values)} labels "
            f"in the image of atlas {spec.name}; it lacks {_some([str(v) for v in unnamed])}",
            file=table,
            fix=f"give the table that belongs to {image.name}",
        )
    names = [(value, names_in_table.get(value, f"label-{value}")) for value in values]
    _tell(spec, "have no name in the label table", [n for n in names if n[0] in set(unnamed)])
    present = set(values)
    _tell(
        spec,
        "of the table are not in the image",
        [n for n in names_in_table.items() if n[0] not in present],
    )
    return names


def _tell(spec: AtlasSpec, what: str, labels: Sequence[tuple[int, str]]) -> None:
    if labels:
        shown = _some([f"{index} ({name})" for index, name in labels])
        LOG.warning("atlas %s: %d labels %s: %s", spec.name, len(labels), what, shown)


def _some(texts: Sequence[str]) -> str:
    return ", ".join(texts[:_SHOWN]) + (", …" if len(texts) > _SHOWN else "")


def _check_inside_brain(spec: AtlasSpec, space: OutputSpace, inside: float, image: Path) -> None:
    if inside < LEAST_INSIDE:
        raise BadDataError(
            f"only {100 * inside:.0f} % of the labelled voxels of atlas {spec.name} are in the "
            f"brain of {space}: it is in another space, or its orientation is wrong",
            file=image,
            fix=f"warp the atlas to {space.template}, or correct its sform and qform",
        )
    if inside < _DOUBTFUL_INSIDE:
        LOG.warning(
            "atlas %s: %.0f %% of its voxels are in the brain of %s; check its space",
            spec.name,
            100 * inside,
            space,
        )


def _check_sides(
    spec: AtlasSpec,
    names: Sequence[tuple[int, str]],
    places: LabelCentroids,
    image: Path,
    table: Path,
) -> None:
    swapped = swapped_sides(names, places)
    if swapped:
        shown = _some([f"'{s.name}' ({s.index}) at x = {s.x_mm:+.0f} mm" for s in swapped])
        raise BadDataError(
            f"{len(swapped)} names of atlas {spec.name} are on the wrong side of {image.name}, "
            f"where left is x < 0: {shown}",
            file=table,
            fix="swap left and right in the label table, or, if all sides are wrong, "
            "correct the orientation (sform and qform) of the image",
        )
