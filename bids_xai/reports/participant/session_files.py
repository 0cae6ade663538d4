"""The derivative files of a participant's sessions, and what they are called on a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bids_xai.reports.volumes import Folder, ImageFile
from bids_xai.tables.numbers import read_object

_NO_MAPS = ("mask", "dseg", "probseg", "relmap", "T1w")


def anat_folder(output_dir: Path, entities: Mapping[str, str]) -> Path:
    """Return the folder of a session's derivatives; entities : ``sub``, and ``ses`` if any."""
    folder, session = output_dir / f"sub-{entities.get('sub', '')}", entities.get("ses")
    return (folder / f"ses-{session}" if session else folder) / "anat"


def sessions_of(output_dir: Path, participant: str) -> list[str]:
    """Return the labels of a participant's sessions on disk, empty for images without one."""
    home = output_dir / f"sub-{participant}"
    without_label = [""] if (home / "anat").is_dir() else []
    return without_label + [
        p.parent.name.removeprefix("ses-") for p in sorted(home.glob("ses-*/anat"))
    ]


def quantitative_maps(folder: Folder) -> list[ImageFile]:
    """Return every quantitative map once: on its own grid where it is there, else on T1w's."""
    native = folder.find("R2starmap", space=None, desc=None)
    drawn = {(image.suffix, *acquisition(image).values()) for image in native}
    return native + [
        image
        for image in maps_on_t1w(folder)
        if (image.suffix, *acquisition(image).values()) not in drawn
    ]


def maps_on_t1w(folder: Folder) -> list[ImageFile]:
    """Return every quantitative map on the grid of the T1w image."""
    on_t1w = [i for i in folder.images if i.entities.get("space") == "T1w"]
    return [i for i in on_t1w if i.suffix not in _NO_MAPS and "desc" not in i.entities]


def map_name(suffix: str) -> str:
    """Return what an image of a BIDS suffix is called: ``R2*``, ``R1``, ``FLAIR``."""
    return "R2*" if suffix == "R2starmap" else suffix.removesuffix("map")


def relevance_name(image: ImageFile) -> str:
    """Return what a relevance map is of, such as ``Relevance for AD by lrp-zplus``."""
    method = read_object(sidecar_of(image.path)).get("Method", image.entities.get("desc", "n/a"))
    label = image.entities.get("label", "all")
    return f"Relevance{'' if label == 'all' else f' for {label}'} by {method}"


def sidecar_of(path: Path) -> Path:
    """Return the path of the JSON beside an image."""
    return path.with_name(path.name.removesuffix(".nii.gz") + ".json")


def acquisition(image: ImageFile) -> dict[str, str | None]:
    """The entities that a mask of the same acquisition shares with an image."""
    return {key: image.entities.get(key) for key in ("acq", "ce", "rec", "run")}
