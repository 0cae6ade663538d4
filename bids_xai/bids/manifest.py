"""What a stage made and how it is to be called: the list a stage hands to the writer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bids_xai.bids.files import tsv_text, write_bytes, write_json, write_text
from bids_xai.bids.names import anat_path


@dataclass(frozen=True)
class Product:
    """A file made by a stage, its place among the derivatives, and its sidecar (if any)."""

    file: str
    entities: dict[str, str]
    suffix: str
    extension: str
    sidecar: dict[str, Any] = field(default_factory=dict)


def save_manifest(folder: Path, products: Sequence[Product]) -> Path:
    """Write the list as ``manifest.json`` in a stage's working folder, atomically."""
    content = json.dumps([asdict(product) for product in products])
    return write_text(folder / "manifest.json", content)


def publish(manifest: Path, output_dir: Path) -> list[Path]:
    """Copy the products of a manifest to their final names and return those."""
    written: list[Path] = []
    for entry in json.loads(manifest.read_text()):
        product = Product(**entry)
        target = output_dir / anat_path(product.entities, product.suffix, product.extension)
        if product.sidecar:
            name = target.name.removesuffix(product.extension) + ".json"
            written.append(write_json(target.with_name(name), product.sidecar))
        written.append(write_bytes(target, (manifest.parent / product.file).read_bytes()))
    return written


LABEL_COLUMNS = {"index": "Label value in the image", "name": "Name of the region"}


def label_table(labels: Sequence[tuple[int, str]]) -> str:
    """Return the text of a BIDS ``dseg.tsv``."""
    return tsv_text([{"index": i, "name": name} for i, name in labels], LABEL_COLUMNS)
