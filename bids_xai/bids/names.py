"""One place that knows how output files are called."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

# BIDS 1.11 order of entities, with the ones this app adds for relevance maps ("model")
ENTITY_ORDER = (
    "sub",
    "ses",
    "sample",
    "task",
    "tracksys",
    "acq",
    "ce",
    "trc",
    "stain",
    "rec",
    "dir",
    "run",
    "mod",
    "echo",
    "flip",
    "inv",
    "mt",
    "part",
    "proc",
    "hemi",
    "from",
    "to",
    "mode",
    "space",
    "cohort",
    "split",
    "chunk",
    "atlas",
    "seg",
    "res",
    "den",
    "model",
    "label",
    "desc",
)

RAW_ENTITIES = (
    *("sub", "ses", "sample", "task", "acq", "ce", "trc", "rec", "dir", "run"),
    *("mod", "flip", "inv", "mt", "proc", "chunk"),
)
"""What may tell one raw scan from another: names of products keep all of it. ``echo`` and ``part``
tell the images of one scan apart."""


def file_name(entities: Mapping[str, str], suffix: str, extension: str) -> str:
    """Return ``sub-01_…_suffix.ext`` with the entities in BIDS order; empty values are left out.

    Raises ``KeyError`` for an entity that has no place in the order (a bug, not a user's error).
    """
    unknown = set(entities) - set(ENTITY_ORDER)
    if unknown:
        raise KeyError(f"entities without a place in the order: {sorted(unknown)}")
    parts = [f"{key}-{entities[key]}" for key in ENTITY_ORDER if entities.get(key)]
    return "_".join([*parts, suffix]) + extension


def anat_path(entities: Mapping[str, str], suffix: str, extension: str) -> PurePosixPath:
    """Return the path of an anatomical derivative, relative to the output folder."""
    folder = PurePosixPath(f"sub-{entities['sub']}")
    if entities.get("ses"):
        folder /= f"ses-{entities['ses']}"
    return folder / "anat" / file_name(entities, suffix, extension)


def parse_name(name: str) -> tuple[dict[str, str], str, str]:
    """Split a file name into its entities, suffix and extension."""
    stem, dot, extension = name.partition(".")
    *parts, suffix = stem.split("_")
    entities = dict(part.split("-", 1) for part in parts if "-" in part)
    return entities, suffix, dot + extension


def scan_name(name: str | PurePosixPath) -> str:
    """Return what identifies the scan a file was made from: ``sub-01_ses-1_acq-x_run-1``."""
    entities, _, _ = parse_name(PurePosixPath(name).name)
    return "_".join(f"{key}-{entities[key]}" for key in RAW_ENTITIES if key in entities)


def label_of(text: str) -> str:
    """Return the text as a BIDS label: ASCII letters and digits (``lrp-zplus`` → ``lrpzplus``)."""
    return "".join(c for c in text if c.isascii() and c.isalnum())
