"""Templates and atlases by name: the embedded one, or any of TemplateFlow's."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bids_xai.bids.images import Volume, read_volume
from bids_xai.bids.names import parse_name
from bids_xai.errors import BadDataError, NoInputError
from bids_xai.settings import EMBEDDED_TEMPLATE, OutputSpace

_FLOW_ATLAS = "HOSPA"  # Harvard-Oxford subcortical, the atlas most TemplateFlow spaces have


ATLAS_DESCRIPTIONS = {
    "TissueNuclei": "Drawn shapes of caudate, putamen and pallidum with grey matter, white matter "
    "and fluid of each side from the ICBM 2009a tissue maps; for orientation, not histology",
    "HOSPA": "Harvard-Oxford subcortical structures, 25 % threshold, from TemplateFlow",
}


@dataclass(frozen=True)
class Template:
    """A brain-only T1w template and its brain mask on one grid."""

    name: str
    brain: Volume
    mask: Volume


@dataclass(frozen=True)
class Atlas:
    """A label image (integers, 0 = background) and the name of every label."""

    name: str
    volume: Volume
    labels: tuple[tuple[int, str], ...]


def load_template(space: OutputSpace) -> Template:
    """Return the template of an output space.

    Raises :class:`NoInputError` naming both ways out where TemplateFlow cannot deliver.
    """
    if space.template == EMBEDDED_TEMPLATE:
        from bids_xai.templates import embedded

        size = float(space.resolution)
        return Template(
            space.template,
            _from_nibabel(embedded.brain(size), np.float32),
            _from_nibabel(embedded.brain_mask(size), np.uint8),
        )
    mask = read_volume(_flow_file(space, suffix="mask", desc="brain"), np.uint8)
    stripped = _flow_query(space, suffix="T1w", desc="brain")
    file = stripped or _flow_file(space, suffix="T1w", desc=None)
    image = read_volume(file)
    if image.data.shape != mask.data.shape:
        raise BadDataError(
            f"T1w and brain mask of {space} have different shapes",
            file=file,
            fix="delete the template from TEMPLATEFLOW_HOME and fetch it again",
        )
    if stripped is None:
        image = Volume(image.data * (mask.data > 0), image.affine)
    return Template(space.template, image, mask)


def load_atlas(space: OutputSpace) -> Atlas | None:
    """Return the default atlas of an output space, ``None`` where TemplateFlow has none there."""
    if space.template == EMBEDDED_TEMPLATE:
        from bids_xai.templates import embedded

        image, labels = embedded.atlas(float(space.resolution))
        return Atlas("TissueNuclei", _from_nibabel(image, np.int32), tuple(labels))
    image_file = _flow_query(space, suffix="dseg", atlas=_FLOW_ATLAS, desc="th25")
    if image_file is None:
        return None
    table = _flow_query(
        OutputSpace(space.template, 0), suffix="dseg", atlas=_FLOW_ATLAS, extension=".tsv"
    )
    volume = read_volume(image_file, np.int32)
    names = _label_names(table) if table else {}
    values = [int(v) for v in np.unique(volume.data) if v]
    return Atlas(_FLOW_ATLAS, volume, tuple((v, names.get(v, f"label {v}")) for v in values))


def _label_names(table: Path) -> dict[int, str]:
    import pandas as pd

    frame = pd.read_csv(table, sep="\t")
    if not {"index", "name"} <= set(frame.columns):
        raise BadDataError(
            "the label table lacks the columns index and name", file=table, fix="add them"
        )
    return {int(i): str(n) for i, n in zip(frame["index"], frame["name"], strict=True)}


def _from_nibabel(image: Any, dtype: Any) -> Volume:
    return Volume(np.asarray(image.dataobj, dtype=dtype), np.asarray(image.affine, np.float64))


def _flow_file(space: OutputSpace, **query: Any) -> Path:
    found = _flow_query(space, **query)
    if found is None:
        wanted = "_".join(f"{k}-{v}" for k, v in query.items() if v)
        raise NoInputError(
            f"TemplateFlow has no {wanted} of template {space}",
            file=os.environ.get("TEMPLATEFLOW_HOME"),
            fix="fetch the template where there is a network and set TEMPLATEFLOW_HOME to that "
            f"folder, or use --output-spaces {EMBEDDED_TEMPLATE}, which is embedded",
        )
    return found


def _flow_query(space: OutputSpace, **query: Any) -> Path | None:
    """Return one non-empty file of TemplateFlow's, ``None`` where it has none such.

    resolution 0 asks for a file without a resolution. Raises as :func:`_flow_file` offline, and
    :class:`BadDataError` for a template made of cohorts: a space does not say which one.
    """
    query = {"extension": ".nii.gz", **query}
    if space.resolution:
        query["resolution"] = space.resolution
    try:
        from templateflow import api

        found = api.get(space.template, **query)
    except Exception as error:  # offline raises ConnectionError, requests' errors, OSError, …
        raise NoInputError(
            f"TemplateFlow cannot deliver {space} ({type(error).__name__}: {str(error)[:120]})",
            file=os.environ.get("TEMPLATEFLOW_HOME"),
            fix="fetch the template where there is a network and set TEMPLATEFLOW_HOME to that "
            f"folder, or use --output-spaces {EMBEDDED_TEMPLATE}, which is embedded",
        ) from error
    files = [Path(f) for f in (found if isinstance(found, list) else [found])]
    files = sorted(f for f in files if f.is_file() and f.stat().st_size > 0)
    if any("cohort" in parse_name(f.name)[0] for f in files):
        raise BadDataError(
            f"template {space.template} has cohorts, which are not supported",
            file=files[0],
            fix="choose a template without cohorts in --output-spaces",
        )
    return files[0] if files else None
