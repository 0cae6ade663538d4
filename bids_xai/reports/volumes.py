"""Volumes made ready for pictures: one orientation, one grid, a window of values."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bids_xai.arrays import Bools, Floats
from bids_xai.bids.images import Volume, read_volume
from bids_xai.bids.names import parse_name
from bids_xai.errors import UserError
from bids_xai.settings import EMBEDDED_TEMPLATE, OutputSpace
from bids_xai.templates.lookup import Template, load_template

_ROUNDING = 1e-6
ZERO_NOTE = "Values below a millionth of the largest count as zero."


@dataclass(frozen=True)
class ImageFile:
    """A file and what its name says."""

    path: Path
    entities: dict[str, str]
    suffix: str


@dataclass(frozen=True)
class Folder:
    """The images of one ``anat`` folder."""

    images: tuple[ImageFile, ...]

    @classmethod
    def of(cls, path: Path) -> Folder:
        """Index the NIfTI images of a folder, sorted by name; none where there is no folder."""
        files = sorted(path.glob("*.nii.gz")) if path.is_dir() else []
        return cls(tuple(ImageFile(file, *parse_name(file.name)[:2]) for file in files))

    def find(self, suffix: str, **entities: str | None) -> list[ImageFile]:
        """Return the images of a suffix with these entities; ``None`` = the entity is absent."""
        return [
            image
            for image in self.images
            if image.suffix == suffix
            and all(image.entities.get(key) == value for key, value in entities.items())
        ]

    def first(self, suffix: str, **entities: str | None) -> ImageFile | None:
        """Return the first of :meth:`find`."""
        return next(iter(self.find(suffix, **entities)), None)


def load(path: Path) -> Volume:
    """Read a volume in RAS order, not finite values as 0."""
    volume = read_volume(path).canonical()
    return Volume(np.nan_to_num(volume.data, posinf=0.0, neginf=0.0), volume.affine)


def on_grid(volume: Volume, like: Volume) -> Floats:
    """Return the volume on another's grid, linearly; 0 outside of it."""
    if volume.data.shape == like.data.shape and np.allclose(volume.affine, like.affine, atol=1e-3):
        return volume.data
    from scipy.ndimage import affine_transform

    to_source = np.linalg.inv(volume.affine) @ like.affine
    result: Floats = affine_transform(
        volume.data.astype(np.float32),
        to_source[:3, :3],
        offset=to_source[:3, 3],
        output_shape=like.data.shape,
        order=1,
    )
    return result


def mask_on_grid(volume: Volume, like: Volume) -> Bools:
    """Return a mask on another's grid."""
    return on_grid(Volume(volume.data.astype(np.float32), volume.affine), like) > 0.5


def positive_window(
    values: Floats, percentiles: tuple[float, float], *, signed: bool = False
) -> tuple[float, float] | None:
    """Percentiles of the positive values (of all magnitudes where ``signed``).

    Those below a millionth of the largest are rounding, not relevance, and are left out.
    ``None`` where there are none.
    """
    strength = np.abs(values) if signed else values
    positive = strength[strength > max(0.0, _ROUNDING * float(strength.max(initial=0.0)))]
    if not positive.size:
        return None
    low, high = np.percentile(positive, percentiles)
    return float(low), float(high)


def is_signed(values: Floats) -> bool:
    """Whether a relevance map has negative values that matter (more than rounding)."""
    return bool(values.min(initial=0.0) < -1e-3 * np.abs(values).max(initial=0.0))


def template_at_hand(space: OutputSpace) -> Template | None:
    """Return a template in RAS order if that needs no network, else ``None``."""
    if not is_at_hand(space):
        return None
    try:
        template = load_template(space)
    except UserError:
        return None
    return Template(template.name, template.brain.canonical(), template.mask.canonical())


def is_at_hand(space: OutputSpace) -> bool:
    """Whether a template can be had without a network."""
    return space.template == EMBEDDED_TEMPLATE or _is_cached(space)


def _is_cached(space: OutputSpace) -> bool:
    """Whether TemplateFlow's folder holds the mask and a T1w image (not empty place holders)."""
    home = flow_home() / f"tpl-{space.template}"
    stem = f"tpl-{space.template}_res-{space.resolution:02d}"
    names = (f"{stem}_desc-brain_mask.nii.gz", f"{stem}*_T1w.nii.gz")
    return all(any(f.stat().st_size > 0 for f in home.glob(name)) for name in names)


def flow_home() -> Path:
    """Return the folder that TemplateFlow keeps its files in."""
    default = Path.home() / ".cache" / "templateflow"
    return Path(os.environ.get("TEMPLATEFLOW_HOME", default))
