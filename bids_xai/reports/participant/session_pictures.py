"""Pictures of one session of a participant, from its derivative files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from bids_xai.arrays import Bools, Floats
from bids_xai.bids.files import write_bytes
from bids_xai.bids.images import Volume
from bids_xai.bids.names import file_name
from bids_xai.core.masks import largest_component
from bids_xai.core.qc_limits import LIMITS
from bids_xai.figures.maps import map_with_histogram, value_window
from bids_xai.figures.mosaic import mosaic
from bids_xai.figures.scene import grey_window
from bids_xai.reports.volumes import (
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
from bids_xai.tables.numbers import read_object

RELEVANCE_PERCENTILES = (90.0, 99.5)
_BRIGHT_PERCENTILE = 60.0
_FAINT_SIGNAL = 0.1
_NO_MAPS = ("mask", "dseg", "probseg", "relmap", "T1w")
_IN_BRAIN, _WITH_SIGNAL = "voxels in the brain mask", "voxels with signal"

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


def sessions_of(output_dir: Path, participant: str) -> list[str]:
    """Return the labels of a participant's sessions on disk, empty for images without one."""
    home = output_dir / f"sub-{participant}"
    found = [""] if (home / "anat").is_dir() else []
    return found + [p.parent.name.removeprefix("ses-") for p in sorted(home.glob("ses-*/anat"))]


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


def _lesions(folder: Folder) -> list[Drawing]:
    """The lesion mask on T1w, and the same slices once the lesions are filled."""
    drawings = []
    for image in folder.find("T1w", space=None, desc="preproc"):
        kept = _kept(image)
        mask = folder.first("mask", **{**kept, "space": "T1w", "label": "lesion"})
        if mask is None:
            continue
        filled = folder.first("T1w", **{**kept, "space": None, "desc": "lesionfilled"})
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


def quantitative_maps(folder: Folder) -> list[ImageFile]:
    """Return every quantitative map once: on its own grid where it is there, else on T1w's."""
    native = folder.find("R2starmap", space=None, desc=None)
    made = {(image.suffix, *_kept(image).values()) for image in native}
    return native + [
        image
        for image in _maps_on_t1w(folder)
        if (image.suffix, *_kept(image).values()) not in made
    ]


def _maps_on_t1w(folder: Folder) -> list[ImageFile]:
    found = [i for i in folder.images if i.entities.get("space") == "T1w"]
    return [i for i in found if i.suffix not in _NO_MAPS and "desc" not in i.entities]


def _maps(folder: Folder) -> list[Drawing]:
    drawings = []
    for image in quantitative_maps(folder):
        volume = load(image.path)
        counted, what = _counted(folder, image, volume)
        native = "space" not in image.entities
        grid = "grid of the multi-echo images" if native else "grid of the T1w image"
        picture = map_with_histogram(
            volume.data,
            volume.voxel_mm,
            counted,
            label=_label(image),
            counted=what,
            title=f"{map_name(image.suffix)} map, {grid}"
            + ("" if what == _IN_BRAIN else " (no brain mask: all voxels with signal)"),
        )
        drawings.append((image.entities | {"desc": "histogram"}, image.suffix, picture))
    return drawings


def _residuals(folder: Folder) -> list[Drawing]:
    """What the model of the decay does not explain, as a part of the signal."""
    drawings = []
    for image in folder.find("S0map", space=None, desc="residual"):
        s0_file = folder.first("S0map", **{**_kept(image), "space": None, "desc": None})
        if s0_file is None:
            continue
        sigma, s0 = load(image.path), load(s0_file.path)
        counted, what = _counted(folder, image, sigma)
        signal = _signal(s0) & (s0.data > 0)
        part = np.divide(sigma.data, s0.data, out=np.zeros_like(s0.data), where=signal)
        limit = LIMITS["FitResidual"].high
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


def _counted(folder: Folder, image: ImageFile, volume: Volume) -> tuple[Bools, str]:
    """The voxels that a histogram counts, and what they are."""
    if "space" in image.entities:
        mask = folder.first("mask", space=None, desc="brain")
    else:
        mask = folder.first("mask", **{**_kept(image), "space": "MEGRE", "desc": "brain"})
    if mask is not None:
        return mask_on_grid(load(mask.path), volume), _IN_BRAIN
    s0 = folder.first("S0map", **{**_kept(image), "space": None, "desc": None})
    if s0 is None or "space" in image.entities:
        return volume.data != 0, _WITH_SIGNAL
    return _signal(load(s0.path)), _WITH_SIGNAL


def _signal(s0: Volume) -> Bools:
    """The largest piece of an S0 map above a tenth of what is bright."""
    return largest_component(s0.data > _FAINT_SIGNAL * np.percentile(s0.data, 99))


def map_name(suffix: str) -> str:
    """Return what an image of a BIDS suffix is called: ``R2*``, ``R1``, ``FLAIR``."""
    return "R2*" if suffix == "R2starmap" else suffix.removesuffix("map")


def _label(image: ImageFile) -> str:
    """``R2* (1/s)``: the unit is that of the sidecar."""
    default = "1/s" if image.suffix == "R2starmap" else "unit unknown"
    units = read_object(sidecar_of(image.path)).get("Units", default)
    return f"{map_name(image.suffix)} ({units})"


def relevance_name(image: ImageFile) -> str:
    """Return what a relevance map is of, such as ``Relevance for AD by lrp-zplus``."""
    method = read_object(sidecar_of(image.path)).get("Method", image.entities.get("desc", "n/a"))
    label = image.entities.get("label", "all")
    return f"Relevance{'' if label == 'all' else f' for {label}'} by {method}"


def sidecar_of(path: Path) -> Path:
    """Return the path of the JSON beside an image."""
    return path.with_name(path.name.removesuffix(".nii.gz") + ".json")


def _registrations(folder: Folder) -> list[Drawing]:
    t1w_file = folder.first("T1w", space=None, desc="preproc")
    mask_file = folder.first("mask", space=None, desc="brain")
    if t1w_file is None or mask_file is None:
        return []
    t1w, mask = load(t1w_file.path), load(mask_file.path)
    drawings = []
    flairs = folder.find("FLAIR", space="T1w", desc="preproc")
    for image in [*_maps_on_t1w(folder), *flairs]:
        volume = load(image.path)
        brain = mask_on_grid(mask, volume)
        weighted = image.suffix == "FLAIR"
        picture = mosaic(
            volume.data,
            volume.voxel_mm,
            outlines=[brain, _bright(on_grid(t1w, volume), brain)],
            outline_labels=["T1w brain mask", "edge of the brightest 40 % of T1w"],
            background_window=None if weighted else value_window(volume.data[brain]),
            title=f"{map_name(image.suffix)} {'image' if weighted else 'map'} on the T1w grid",
            slices=5,
        )
        drawings.append((image.entities | {"desc": "registration"}, image.suffix, picture))
    return drawings


def _bright(t1w: Floats, brain: Bools) -> Bools:
    """The brightest 40 % of the brain of a T1w image after smoothing: roughly white matter."""
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
        outlines = _template_outlines(folder, image, volume)
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


def _template_outlines(folder: Folder, image: ImageFile, like: Volume) -> dict[str, Bools]:
    """The template's own outlines by name, else the participant's mask in that space, else none."""
    space, resolution = image.entities["space"], image.entities["res"]
    template = template_at_hand(OutputSpace(space, int(resolution)))
    if template is not None:
        brain = mask_on_grid(template.mask, like)
        return {
            "brain mask of the template": brain,
            "edge of its brightest 40 %": _bright(on_grid(template.brain, like), brain),
        }
    own = folder.first("mask", space=space, res=resolution, desc="brain")
    if own is None:
        return {}
    return {"brain mask of the participant": mask_on_grid(load(own.path), like)}


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
