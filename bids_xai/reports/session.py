"""Pictures of one session of a participant, from its derivative files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from bids_xai.bids.files import write_bytes
from bids_xai.bids.images import Volume
from bids_xai.bids.names import file_name
from bids_xai.figures.maps import map_with_histogram, value_window
from bids_xai.figures.mosaic import mosaic
from bids_xai.reports.volumes import (
    Bools,
    Floats,
    Folder,
    ImageFile,
    is_signed,
    load,
    mask_on_grid,
    on_grid,
    positive_window,
    template_at_hand,
)
from bids_xai.settings import OutputSpace

RELEVANCE_PERCENTILES = (90.0, 99.5)
_BRIGHT_PERCENTILE = 60.0

Drawing = tuple[dict[str, str], str, bytes]


def anat_folder(output_dir: Path, entities: Mapping[str, str]) -> Path:
    """Return the folder of a session's derivatives."""
    folder = output_dir / f"sub-{entities['sub']}"
    return (folder / f"ses-{entities['ses']}" if entities.get("ses") else folder) / "anat"


def session_figures(output_dir: Path, entities: Mapping[str, str]) -> list[Path]:
    """Draw what can be drawn of one session into ``<out>/sub-X/figures`` and name the files.

    entities : ``sub`` and, where there is one, ``ses``. A picture whose files are missing is
        left out.
    """
    folder = Folder.of(anat_folder(output_dir, entities))
    target = output_dir / f"sub-{entities['sub']}" / "figures"
    steps: tuple[Callable[[Folder], list[Drawing]], ...] = (
        _brain_masks,
        _native_maps,
        _registrations,
        _templates,
        _relevance,
    )
    return [
        write_bytes(target / file_name(names, suffix, ".png"), image)
        for step in steps
        for names, suffix, image in step(folder)
    ]


def participant_figures(output_dir: Path, participant: str) -> list[Path]:
    """Draw the pictures of every session of a participant found on disk."""
    home = output_dir / f"sub-{participant}"
    sessions = [""] if (home / "anat").is_dir() else []
    sessions += [p.parent.name.removeprefix("ses-") for p in sorted(home.glob("ses-*/anat"))]
    pictures: list[Path] = []
    for session in sessions:
        pictures += session_figures(output_dir, {"sub": participant, "ses": session})
    return pictures


def _brain_masks(folder: Folder) -> list[Drawing]:
    drawings = []
    for image in folder.find("T1w", space=None, desc="preproc"):
        mask = folder.first("mask", **{**_kept(image), "space": None, "desc": "brain"})
        if mask is None:
            continue
        t1w = load(image.path)
        picture = mosaic(
            t1w.data,
            t1w.voxel_mm,
            outlines=[mask_on_grid(load(mask.path), t1w)],
            outline_labels=["brain mask"],
            title="T1w image with the brain mask",
        )
        drawings.append((image.entities | {"desc": "brainmask"}, "T1w", picture))
    return drawings


def _native_maps(folder: Folder) -> list[Drawing]:
    drawings = []
    for image in folder.find("R2starmap", space=None):
        volume = load(image.path)
        mask = folder.first("mask", **{**_kept(image), "space": "MEGRE", "desc": "brain"})
        brain = mask_on_grid(load(mask.path), volume) if mask else volume.data > 0
        title = "R2* map, grid of the multi-echo images" + ("" if mask else " (no brain mask)")
        picture = map_with_histogram(volume.data, volume.voxel_mm, brain, title=title)
        drawings.append((image.entities | {"desc": "histogram"}, "R2starmap", picture))
    return drawings


def _registrations(folder: Folder) -> list[Drawing]:
    t1w_file = folder.first("T1w", space=None, desc="preproc")
    mask_file = folder.first("mask", space=None, desc="brain")
    if t1w_file is None or mask_file is None:
        return []
    t1w, mask = load(t1w_file.path), load(mask_file.path)
    drawings = []
    for image in folder.find("R2starmap", space="T1w"):
        volume = load(image.path)
        brain = mask_on_grid(mask, volume)
        picture = mosaic(
            volume.data,
            volume.voxel_mm,
            outlines=[brain, _bright(on_grid(t1w, volume), brain)],
            outline_labels=["T1w brain mask", "edge of the brightest 40 % of T1w"],
            background_window=value_window(volume.data[brain]),
            title="R2* map on the T1w grid",
            slices=5,
        )
        drawings.append((image.entities | {"desc": "registration"}, "R2starmap", picture))
    return drawings


def _bright(t1w: Floats, brain: Bools) -> Bools:
    """The brightest 40 % of the brain after smoothing: roughly white matter."""
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(t1w.astype(np.float32), 1.0)
    if not brain.any():
        return brain
    bright: Bools = brain & (smooth > np.percentile(smooth[brain], _BRIGHT_PERCENTILE))
    return bright


def _templates(folder: Folder) -> list[Drawing]:
    drawings = []
    for image in folder.images:
        space, resolution = image.entities.get("space", ""), image.entities.get("res", "")
        is_t1w = image.suffix == "T1w" and image.entities.get("desc") == "preproc"
        if not (is_t1w and space and resolution.isdigit()):
            continue
        volume = load(image.path)
        outline, label = _template_mask(folder, image, volume)
        picture = mosaic(
            volume.data,
            volume.voxel_mm,
            outlines=[] if outline is None else [outline],
            outline_labels=[] if outline is None else [label],
            origin_mm=_origin(volume),
            title=f"T1w image in {space}",
        )
        drawings.append((image.entities | {"desc": "templatemask"}, "T1w", picture))
    return drawings


def _template_mask(folder: Folder, image: ImageFile, like: Volume) -> tuple[Bools | None, str]:
    """The template's own mask, else the participant's in that space, else none."""
    space, resolution = image.entities["space"], image.entities["res"]
    template = template_at_hand(OutputSpace(space, int(resolution)))
    if template is not None:
        return mask_on_grid(template.mask, like), "brain mask of the template"
    own = folder.first("mask", space=space, res=resolution, desc="brain")
    if own is None:
        return None, ""
    return mask_on_grid(load(own.path), like), "brain mask of the participant"


def _relevance(folder: Folder) -> list[Drawing]:
    drawings = []
    for image in folder.find("relmap"):
        volume = load(image.path)
        signed = is_signed(volume.data)
        window = positive_window(volume.data, RELEVANCE_PERCENTILES, signed=signed)
        what = "magnitudes" if signed else "positive values"
        low, high = RELEVANCE_PERCENTILES
        shown = f"window: {low:g} to {high:g} percentile of the {what} of this map"
        label = f"{image.entities.get('label', '')} by {image.entities.get('desc', '')}"
        picture = mosaic(
            _background(folder, image, volume),
            volume.voxel_mm,
            overlay=volume.data if window else None,
            window=window,
            signed=signed,
            origin_mm=_origin(volume) if image.entities.get("res") else None,
            colour_bar_label="relevance (arbitrary units)",
            title=f"Relevance for {label}; {shown if window else 'no relevance in this map'}",
        )
        drawings.append((image.entities, "relmap", picture))
    return drawings


def _background(folder: Folder, image: ImageFile, like: Volume) -> Floats:
    """The T1w image in the space of a relevance map, on its grid; black where there is none."""
    space = image.entities.get("space")
    own = None if space == "T1w" else space
    found = folder.first("T1w", space=own, res=image.entities.get("res"), desc="preproc")
    found = found or folder.first("T1w", space=own, desc="preproc")
    return on_grid(load(found.path), like) if found else np.zeros(like.data.shape, np.float32)


def _origin(volume: Volume) -> tuple[float, ...]:
    return tuple(float(v) for v in volume.affine[:3, 3])


def _kept(image: ImageFile) -> dict[str, str | None]:
    """The entities that a mask of the same acquisition shares with an image."""
    return {key: image.entities.get(key) for key in ("acq", "ce", "rec", "run")}
