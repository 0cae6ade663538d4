"""Pictures of one session of a participant, from its derivative files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from bids_xai.arrays import Floats
from bids_xai.bids.files import write_bytes
from bids_xai.bids.images import Volume
from bids_xai.bids.names import file_name
from bids_xai.core.qc_limits import LIMITS
from bids_xai.figures.maps import map_with_histogram, value_window
from bids_xai.figures.mosaic import mosaic
from bids_xai.figures.scene import grey_window
from bids_xai.reports.participant.picture_masks import (
    IN_BRAIN,
    bright_tissue,
    counted_voxels,
    template_outlines,
    with_signal,
)
from bids_xai.reports.participant.session_files import (
    acquisition,
    anat_folder,
    map_name,
    maps_on_t1w,
    quantitative_maps,
    relevance_name,
    sessions_of,
    sidecar_of,
)
from bids_xai.reports.volumes import (
    Folder,
    ImageFile,
    is_signed,
    load,
    mask_on_grid,
    on_grid,
    positive_window,
)
from bids_xai.tables.numbers import read_object

RELEVANCE_PERCENTILES = (90.0, 99.5)
_HIGHEST_RESIDUAL = LIMITS["FitResidual"].high

Drawing = tuple[dict[str, str], str, bytes]


def session_figures(output_dir: Path, entities: Mapping[str, str]) -> list[Path]:
    """Draw what can be drawn of one session into ``<out>/sub-X/figures`` and name the files.

    entities : ``sub`` and, where there is one, ``ses``. A picture whose files are missing is
        left out.
    """
    folder = Folder.of(anat_folder(output_dir, entities))
    target = output_dir / f"sub-{entities.get('sub', '')}" / "figures"
    steps: tuple[Callable[[Folder], list[Drawing]], ...] = (
        _brain_masks,
        _lesions,
        _maps,
        _residuals,
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
    pictures: list[Path] = []
    for session in sessions_of(output_dir, participant):
        pictures += session_figures(output_dir, {"sub": participant, "ses": session})
    return pictures


def _brain_masks(folder: Folder) -> list[Drawing]:
    drawings = []
    for image in folder.find("T1w", space=None, desc="preproc"):
        mask = folder.first("mask", **{**acquisition(image), "space": None, "desc": "brain"})
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


def _lesions(folder: Folder) -> list[Drawing]:
    """The lesion mask on T1w, and the same slices once the lesions are filled."""
    drawings = []
    for image in folder.find("T1w", space=None, desc="preproc"):
        same = acquisition(image)
        mask = folder.first("mask", **{**same, "space": "T1w", "label": "lesion"})
        if mask is None:
            continue
        filled = folder.first("T1w", **{**same, "space": None, "desc": "lesionfilled"})
        before = load(image.path)
        lesions, window = mask_on_grid(load(mask.path), before), grey_window(before.data)
        pictures = [
            ("lesion", "T1w image with the lesion mask", image),
            ("lesionfilled", "T1w image with lesions filled", filled),
        ]
        for name, title, source in pictures:
            if source is None:
                continue
            picture = mosaic(
                on_grid(load(source.path), before),
                before.voxel_mm,
                outlines=[lesions],
                outline_labels=["lesion mask"],
                background_window=window,
                title=title if lesions.any() else f"{title} (the mask is empty)",
                through=lesions,
                slices=5,
            )
            drawings.append((image.entities | {"desc": name}, "T1w", picture))
    return drawings


def _maps(folder: Folder) -> list[Drawing]:
    drawings = []
    for image in quantitative_maps(folder):
        volume = load(image.path)
        counted, what = counted_voxels(folder, image, volume)
        native = "space" not in image.entities
        grid = "grid of the multi-echo images" if native else "grid of the T1w image"
        picture = map_with_histogram(
            volume.data,
            volume.voxel_mm,
            counted,
            label=_label(image),
            counted=what,
            title=f"{map_name(image.suffix)} map, {grid}"
            + ("" if what == IN_BRAIN else " (no brain mask: all voxels with signal)"),
        )
        drawings.append((image.entities | {"desc": "histogram"}, image.suffix, picture))
    return drawings


def _residuals(folder: Folder) -> list[Drawing]:
    """What the model of the decay does not explain, as a part of the signal."""
    drawings = []
    for image in folder.find("S0map", space=None, desc="residual"):
        s0_file = folder.first("S0map", **{**acquisition(image), "space": None, "desc": None})
        if s0_file is None:
            continue
        sigma, s0 = load(image.path), load(s0_file.path)
        counted, what = counted_voxels(folder, image, sigma)
        signal = with_signal(s0) & (s0.data > 0)
        part = np.divide(sigma.data, s0.data, out=np.zeros_like(s0.data), where=signal)
        limit = _HIGHEST_RESIDUAL
        low, high = value_window(part[counted & signal])
        picture = map_with_histogram(
            part,
            sigma.voxel_mm,
            counted & signal,
            window=(low, max(high, limit / 3)),
            label="residual / S0",
            counted=what,
            limit=limit,
            title="Residuals of the R2* fit over S0, where there is signal",
        )
        drawings.append((image.entities | {"desc": "residual"}, "S0map", picture))
    return drawings


def _label(image: ImageFile) -> str:
    """``R2* (1/s)``: the unit is that of the sidecar."""
    default = "1/s" if image.suffix == "R2starmap" else "unit unknown"
    units = read_object(sidecar_of(image.path)).get("Units", default)
    return f"{map_name(image.suffix)} ({units})"


def _registrations(folder: Folder) -> list[Drawing]:
    t1w_file = folder.first("T1w", space=None, desc="preproc")
    mask_file = folder.first("mask", space=None, desc="brain")
    if t1w_file is None or mask_file is None:
        return []
    t1w, mask = load(t1w_file.path), load(mask_file.path)
    drawings = []
    flairs = folder.find("FLAIR", space="T1w", desc="preproc")
    for image in [*maps_on_t1w(folder), *flairs]:
        volume = load(image.path)
        brain = mask_on_grid(mask, volume)
        weighted = image.suffix == "FLAIR"
        picture = mosaic(
            volume.data,
            volume.voxel_mm,
            outlines=[brain, bright_tissue(on_grid(t1w, volume), brain)],
            outline_labels=["T1w brain mask", "edge of the brightest 40 % of T1w"],
            background_window=None if weighted else value_window(volume.data[brain]),
            title=f"{map_name(image.suffix)} {'image' if weighted else 'map'} on the T1w grid",
            slices=5,
        )
        drawings.append((image.entities | {"desc": "registration"}, image.suffix, picture))
    return drawings


def _templates(folder: Folder) -> list[Drawing]:
    drawings = []
    for image in folder.images:
        space, resolution = image.entities.get("space", ""), image.entities.get("res", "")
        is_t1w = image.suffix == "T1w" and image.entities.get("desc") == "preproc"
        if not (is_t1w and space and resolution.isdigit()):
            continue
        volume = load(image.path)
        outlines = template_outlines(folder, image, volume)
        picture = mosaic(
            volume.data,
            volume.voxel_mm,
            outlines=list(outlines.values()),
            outline_labels=list(outlines),
            origin_mm=_origin(volume),
            title=f"T1w image in {space}",
        )
        drawings.append((image.entities | {"desc": "templatemask"}, "T1w", picture))
    return drawings


def _relevance(folder: Folder) -> list[Drawing]:
    drawings = []
    for image in folder.find("relmap"):
        volume = load(image.path)
        signed = is_signed(volume.data)
        window = positive_window(volume.data, RELEVANCE_PERCENTILES, signed=signed)
        what = "magnitudes" if signed else "positive values"
        low, high = RELEVANCE_PERCENTILES
        shown = f"window: {low:g} to {high:g} percentile of the {what} of this map"
        picture = mosaic(
            _background(folder, image, volume),
            volume.voxel_mm,
            overlay=volume.data if window else None,
            window=window,
            signed=signed,
            origin_mm=_origin(volume) if image.entities.get("res") else None,
            colour_bar_label="relevance (arbitrary units)",
            title=f"{relevance_name(image)}; {shown if window else 'no relevance in this map'}",
        )
        drawings.append((image.entities, "relmap", picture))
    return drawings


def _background(folder: Folder, image: ImageFile, like: Volume) -> Floats:
    """The T1w image in the space of a relevance map, on its grid; black where there is none."""
    named = image.entities.get("space")
    space = None if named == "T1w" else named  # its own grid has no name
    t1w = folder.first("T1w", space=space, res=image.entities.get("res"), desc="preproc")
    t1w = t1w or folder.first("T1w", space=space, desc="preproc")
    return on_grid(load(t1w.path), like) if t1w else np.zeros(like.data.shape, np.float32)


def _origin(volume: Volume) -> tuple[float, ...]:
    return tuple(float(v) for v in volume.affine[:3, 3])
