"""A page to walk through a heatmap over anatomy, in the browser, from the file system.

The drawing is done by NiiVue (BSD 2-Clause), which is fetched when the package is built
(``hatch_build.py``): it shows oblique volumes of different grids at their true places, which
nilearn's viewer does not, and lets window, opacity and outlines be changed. One copy of it serves
all pages of an output folder; the volumes lie in each page, since browsers read no other files from
a page that is opened as a file.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from scipy import ndimage

from bids_xai.bids.files import nifti_bytes, write_bytes, write_text
from bids_xai.bids.images import Volume
from bids_xai.core.grids import centred_grid, covering_shape, nearest_on_grid, resample_grid
from bids_xai.figures.scene import CONVENTION, grey_window
from bids_xai.reports.blocks import Text, embedded_json, filled
from bids_xai.reports.volumes import is_signed, on_grid, positive_window

FOLDER = "viewer"
MOST_VOXELS = 3_000_000
"""Of the anatomy; a finer image is resampled, so that a page stays below some megabytes."""
MOST_REGIONS = 10
STEPS = 1000
"""Of a map from 0 to its largest magnitude; what the page holds are whole steps."""
_WINDOW = (90.0, 99.5)  # percentiles of the positive values, or of the magnitudes


@dataclass(frozen=True)
class MapLayer:
    """A map to lay over the anatomy, on a grid of its own."""

    name: str
    volume: Volume
    unit: str = "arbitrary units"


@dataclass(frozen=True)
class Regions:
    """A label image and the names of its labels."""

    volume: Volume
    names: Mapping[int, str]


def link(page: Path, output_dir: Path, words: str) -> list[Text]:
    """A line that leads to a viewer page, where there is one; pages lie in ``output_dir``."""
    if not page.is_file():
        return []
    target = page.relative_to(output_dir).as_posix()
    return [Text(Markup('<a href="{}">{}</a>').format(target, words))]


def study_page(output_dir: Path, study: str) -> Path:
    """Where the viewer of a study lies, whether it exists or not."""
    return output_dir / f"group_{study}_viewer.html"


def script() -> Path | None:
    """NiiVue as it was built into the package, ``None`` where it was out of reach then."""
    folder = Path(str(resources.files("bids_xai.reports"))) / "niivue"
    return next(iter(sorted(folder.glob("niivue-*.js"))), None)


def write_viewer(
    page: Path,
    output_dir: Path,
    title: str,
    anatomy: Volume,
    layers: Sequence[MapLayer],
    regions: Regions | None = None,
    notes: Sequence[str] = (),
) -> Path | None:
    """Write a page and the one copy of NiiVue of an output folder; ``None`` without NiiVue.

    page : inside ``output_dir``; layers : at least one; notes : what the reader must know of them
    """
    source = script()
    if source is None or not layers:
        return None
    shared = output_dir / FOLDER / source.name
    if not shared.is_file():
        write_bytes(shared, source.read_bytes())
        write_bytes(shared.with_name("LICENSE.txt"), (source.parent / "LICENSE.txt").read_bytes())
    base = bounded(anatomy)
    content: dict[str, Any] = {
        "anatomy": _encoded(_grey(base)),
        "layers": [_layer(layer, regions) for layer in layers],
        "regions": None if regions is None else _region_volumes(base, regions),
    }
    up = "../" * len(page.relative_to(output_dir).parent.parts)
    return write_text(page, _page(title, content, f"{up}{FOLDER}/{source.name}", notes))


def bounded(volume: Volume, most: int = MOST_VOXELS) -> Volume:
    """The volume, or a coarser one of at most about ``most`` voxels."""
    if volume.data.size <= most:
        return volume
    edges = np.sqrt((volume.affine[:3, :3] ** 2).sum(axis=0))
    voxel_mm = float((edges.prod() * volume.data.size / most) ** (1 / 3))
    shape = covering_shape(volume.data.shape, volume.affine, voxel_mm)
    affine = centred_grid(volume.data.shape, volume.affine, shape, voxel_mm)
    return Volume(resample_grid(volume.data, volume.affine, shape, affine), affine)


def _grey(volume: Volume) -> Volume:
    low, high = grey_window(volume.data)
    scaled = (volume.data - low) / max(high - low, 1e-12)
    return Volume(np.round(255 * np.clip(scaled, 0, 1)).astype(np.uint8), volume.affine)


def _encoded(volume: Volume) -> str:
    return base64.b64encode(nifti_bytes(volume.data, volume.affine)).decode("ascii")


def _layer(layer: MapLayer, regions: Regions | None) -> dict[str, Any]:
    data = np.nan_to_num(layer.volume.data.astype(np.float32))
    signed = is_signed(data)
    most = float(np.abs(data).max(initial=0.0)) or 1.0
    window = positive_window(data, _WINDOW, signed=signed) or (0.0, most)
    steps = np.round(data * (STEPS / most)).astype(np.int16)  # as fine as the sliders
    return {
        "name": layer.name,
        "unit": layer.unit,
        "data": _encoded(Volume(steps, layer.volume.affine)),
        "signed": signed,
        "window": [round(STEPS * value / most) for value in window],
        "step": float(f"{most / STEPS:.6g}"),
        "top": [] if regions is None else top_regions(layer.volume, regions),
    }


def top_regions(volume: Volume, regions: Regions) -> list[dict[str, Any]]:
    """The regions with the largest mean of a map, and where each is strongest (mm, RAS)."""
    labels = np.asarray(regions.volume.data, dtype=np.int64)
    values = on_grid(Volume(volume.data.astype(np.float32), volume.affine), regions.volume)
    named = [label for label in np.unique(labels) if label and int(label) in regions.names]
    if not named:
        return []
    means = np.atleast_1d(ndimage.mean(values, labels, named))
    peaks = ndimage.maximum_position(values, labels, named)
    order = np.argsort(-means, kind="stable")[:MOST_REGIONS]
    return [
        {
            "name": regions.names[int(named[i])],
            "mean": float(f"{means[i]:.3g}"),
            "mm": [round(float(mm), 1) for mm in _to_mm(regions.volume, peaks[i])],
        }
        for i in order
        if means[i] > 0
    ]


def _to_mm(volume: Volume, index: Sequence[int]) -> Any:
    return volume.affine[:3, :3] @ np.asarray(index, dtype=float) + volume.affine[:3, 3]


def _region_volumes(base: Volume, regions: Regions) -> dict[str, Any]:
    """Labels and their outlines on the grid of the anatomy."""
    labels = nearest_on_grid(
        regions.volume.data, regions.volume.affine, base.data.shape, base.affine
    )
    edge = np.zeros(labels.shape, dtype=bool)
    for axis in range(3):
        edge |= labels != np.roll(labels, 1, axis)
    outline = (edge & (labels > 0)).astype(np.uint8)
    order = [0, *sorted(regions.names)]
    compact = np.searchsorted(order, np.where(np.isin(labels, order), labels, 0)).astype(np.int16)
    return {
        "labels": _encoded(Volume(compact, base.affine)),
        "outline": _encoded(Volume(outline, base.affine)),
        "names": ["", *(regions.names[label] for label in order[1:])],
    }


def _page(title: str, content: Mapping[str, Any], source: str, notes: Sequence[str]) -> str:
    data = embedded_json(content)
    return filled(
        "viewer.html", title=title, content=data, source=source, notes=notes, convention=CONVENTION
    )
