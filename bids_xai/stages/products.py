"""What every stage uses to name and describe what it makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bids_xai.bids.files import nifti_bytes
from bids_xai.bids.images import Volume, header_notes
from bids_xai.bids.manifest import Product, label_table, save_manifest

_DRAWN = ("mask", "dseg", "relmap")
"""Suffixes of images whose values are no measurement of a scanner."""


@dataclass(frozen=True)
class StageFiles:
    """What a stage leaves: its list of products; subclasses add what later stages need."""

    manifest: Path


@dataclass(frozen=True)
class BrainFiles(StageFiles):
    """Bias-corrected T1w image and brain mask, on one grid."""

    preproc: Path
    mask: Path


@dataclass(frozen=True)
class TransformFiles(StageFiles):
    """A transform and its inverse."""

    forward: Path
    inverse: Path


@dataclass(frozen=True)
class Origin:
    """Where a product comes from: BIDS URIs of its sources, and the entities of its name.

    field_strength_t : of the scanner in tesla, None where it is not known
    """

    entities: dict[str, str]
    sources: tuple[str, ...]
    field_strength_t: float | None = None


class StageFolder:
    """Collects the products of a stage in one folder."""

    def __init__(self, folder: Path, origin: Origin) -> None:
        self.folder, self.origin = folder, origin
        self.products: list[Product] = []

    def image(
        self,
        suffix: str,
        data: NDArray[Any],
        affine: NDArray[Any],
        sidecar: Mapping[str, Any],
        **entities: str,
    ) -> Path:
        """Write an image and its sidecar; return the image.

        ``Sources`` are added and, for images of a scanner, ``MagneticFieldStrength``.
        """
        path = self.folder / f"{'_'.join([*entities.values(), suffix])}.nii.gz"
        path.write_bytes(nifti_bytes(data, affine))
        field = self.origin.field_strength_t
        scanner = {"MagneticFieldStrength": field} if field and suffix not in _DRAWN else {}
        return self.add(path, suffix, ".nii.gz", {**sidecar, **scanner}, **entities)

    def add(
        self, path: Path, suffix: str, extension: str, sidecar: Mapping[str, Any], **entities: str
    ) -> Path:
        """Take up a file of the folder; return it."""
        content = dict(sidecar)
        if content:
            content.setdefault("Sources", list(self.origin.sources))
        names = {**self.origin.entities, **entities}
        self.products.append(Product(path.name, names, suffix, extension, content))
        return path

    def labels(self, table: Sequence[tuple[int, str]], **entities: str) -> Path:
        """Write the ``dseg.tsv`` that belongs to a label image."""
        path = self.folder / f"{'_'.join(entities.values())}_dseg.tsv"
        path.write_text(label_table(table), encoding="utf-8")
        return self.add(path, "dseg", ".tsv", {}, **entities)

    def close(self) -> Path:
        """Write the manifest, last of all."""
        return save_manifest(self.folder, self.products)


def input_notes(image: Path, *others: str) -> dict[str, list[str]]:
    """Return the part of a sidecar that says what was done about the header of the raw image.

    others : what else is to be said; nothing at all is written where there is nothing to say
    """
    notes = [*header_notes(image), *others]
    return {"InputNotes": notes} if notes else {}


def resolution_text(volume: Volume) -> str:
    """Return the voxel size in words: TemplateFlow's ``res-1`` is an index, not 1 mm."""
    sizes = [f"{edge:.4g}" for edge in volume.voxel_mm]
    return f"{sizes[0]} mm isotropic" if len(set(sizes)) == 1 else f"{' × '.join(sizes)} mm"
