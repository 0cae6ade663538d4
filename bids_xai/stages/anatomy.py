"""Stages on the T1w image: brain, template, atlases, lesions.

Each function works in a folder of its own and returns the manifest; nothing here knows nipype.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.arrays import Bools
from bids_xai.bids.images import Volume, empty_volume, read_volume
from bids_xai.core.lesions import fill_lesions
from bids_xai.core.masks import dice
from bids_xai.core.regions.labels import to_ranks
from bids_xai.core.registration_quality import correlation, covered
from bids_xai.core.signs import without_sign
from bids_xai.errors import BadDataError
from bids_xai.settings import EMBEDDED_TEMPLATE, OutputSpace
from bids_xai.stages import ants_tools, greedy_tools, registration, syn
from bids_xai.stages.bias_field import correct_bias
from bids_xai.stages.brain import extract_brain
from bids_xai.stages.maps import intensity_scale
from bids_xai.stages.products import (
    BrainFiles,
    Origin,
    StageFiles,
    StageFolder,
    TransformFiles,
    input_notes,
    resolution_text,
)
from bids_xai.stages.synthstrip import load_synthstrip, synthstrip_mask
from bids_xai.stages.t1w_notes import coil_note, shift_note
from bids_xai.stages.transforms import without_times
from bids_xai.templates.lookup import load_atlas, load_template, parse_atlas

_LEAST_BRAIN_ML, _MOST_BRAIN_ML = 300.0, 2500.0
"""A mask outside is no brain. Intracranial volumes of adults are 1.1 to 2.0 litres."""


def brain(
    folder: Path,
    origin: Origin,
    t1w: Path,
    given_mask: Path | None,
    *,
    synthstrip: Path | None,
    seed: int,
    sloppy: bool,
) -> BrainFiles:
    """Correct the bias of the T1w image and find the brain, or take a mask made elsewhere.

    synthstrip : file of a SynthStrip model that finds the brain instead
    """
    raw = read_volume(t1w)
    data, shift = without_sign(raw.data)
    image = Volume(data, raw.affine)
    notes = shift_note(shift)
    if synthstrip is not None:
        corrected = correct_bias(image, seed=seed)
        mask = synthstrip_mask(image, load_synthstrip(synthstrip))
        method: dict[str, Any] = {"Description": f"SynthStrip, {synthstrip.name}"}
    elif given_mask is None:
        template = load_template(OutputSpace(EMBEDDED_TEMPLATE, 2))
        extraction = extract_brain(image, template, seed=seed, sloppy=sloppy)
        corrected, mask = extraction.corrected, extraction.mask
        method = {"Prior": EMBEDDED_TEMPLATE}
        notes += coil_note(extraction.is_biased)
    else:
        corrected = correct_bias(image, seed=seed)
        mask = _given_mask(given_mask, image)
        method = {"Description": f"taken from {given_mask.name}"}
    volume_ml = float(mask.sum()) * float(np.prod(image.voxel_mm)) / 1000
    if not _LEAST_BRAIN_ML <= volume_ml <= _MOST_BRAIN_ML:
        raise BadDataError(
            f"the brain mask has {volume_ml:.0f} ml, which is not a plausible brain volume",
            file=given_mask or t1w,
            fix="check the image; your own mask can be supplied with --brain-mask derivatives",
        )
    out = StageFolder(folder, origin)
    preproc = out.image(
        "T1w",
        corrected.data,
        corrected.affine,
        {
            "SkullStripped": False,
            "BiasCorrection": "N4",
            "IntensityScale": intensity_scale(corrected.data, mask),
            **input_notes(t1w, *notes),
        },
        desc="preproc",
    )
    quality = {"BrainVolumeMl": round(volume_ml, 1), **_contrast(corrected.data, mask)}
    path = out.image(
        "mask",
        mask.astype(np.uint8),
        corrected.affine,
        {"Type": "Brain", "RandomSeed": seed, "Quality": quality, **method},
        desc="brain",
    )
    return BrainFiles(out.close(), preproc, path)


def _given_mask(path: Path, image: Volume) -> Bools:
    """The mask on the grid of the image, which it must cover."""
    mask = read_volume(path)
    if mask.data.shape == image.data.shape and np.allclose(mask.affine, image.affine, atol=1e-3):
        return np.asarray(mask.data > 0)
    ants = ants_tools.ants_module(0)
    binary = Volume((mask.data > 0).astype(np.float32), mask.affine)
    return ants_tools.resample(ants, binary, image, []) > 0.5


def _contrast(data: NDArray[Any], mask: Bools) -> dict[str, float]:
    """Signal of the brain against what is around it: low where a mask slipped off the head."""
    inside, outside = float(np.median(data[mask])), float(np.median(data[~mask]))
    return {"BrainToBackground": round((inside - outside) / (abs(inside) + abs(outside) + 1e-9), 4)}


def normalise(
    folder: Path,
    origin: Origin,
    t1w: Path,
    mask: Path,
    space: OutputSpace,
    *,
    how: str,
    engine: str,
    seed: int,
    sloppy: bool,
) -> TransformFiles:
    """Estimate the transform from the T1w brain to the template.

    how : ``nonlinear`` (affine, then diffeomorphic), ``linear`` (affine) or ``none`` (centres
        of the grids aligned, nothing turned or scaled)
    """
    template = load_template(space)
    forward, inverse = folder / "forward.h5", folder / "inverse.h5"
    registration.register_to_template(
        ants_tools.ants_module(seed),
        template.brain,
        template.mask,
        read_volume(t1w),
        read_volume(mask),
        method=how,
        forward=forward,
        inverse=inverse,
        seed=seed,
        recipe=syn.SLOPPY if sloppy else None,
        deformable=greedy_tools.register_deformable if engine == "greedy" else None,
    )
    for path in (forward, inverse):
        without_times(path)
    out = StageFolder(folder, origin)
    entities = {"from": "T1w", "to": space.template, "mode": "image"}
    out.add(forward, "xfm", ".h5", {}, **entities)
    out.add(inverse, "xfm", ".h5", {}, **entities | {"from": space.template, "to": "T1w"})
    return TransformFiles(out.close(), forward, inverse)


def to_template(
    folder: Path, origin: Origin, t1w: Path, mask: Path, space: OutputSpace, forward: Path
) -> StageFiles:
    """Bring T1w and mask to the template, and measure how well they fit there."""
    ants = ants_tools.ants_module(0)
    template = load_template(space)
    anatomy, brain_mask = read_volume(t1w), read_volume(mask)
    warped = ants_tools.resample(ants, anatomy, template.brain, [forward])
    warped_mask = ants_tools.resample(ants, brain_mask, template.brain, [forward]) > 0.5
    inside = template.mask.data > 0
    quality = {
        "MaskDice": round(dice(warped_mask, inside), 4),
        "Correlation": round(correlation(warped, template.brain.data, inside), 4),
        "TemplateCovered": round(covered(warped_mask, inside), 4),
    }
    out = StageFolder(folder, origin)
    names = space.entities
    grid = {"Resolution": resolution_text(template.brain), "Interpolation": "linear"}
    out.image(
        "T1w",
        warped,
        template.brain.affine,
        {"SkullStripped": False, **grid, "Quality": quality},
        **names,
        desc="preproc",
    )
    out.image(
        "mask",
        warped_mask.astype(np.uint8),
        template.brain.affine,
        {"Type": "Brain", **grid},
        **names,
        desc="brain",
    )
    return StageFiles(out.close())


def atlas_to_t1w(
    folder: Path,
    origin: Origin,
    t1w: Path,
    inverse: Path,
    space: OutputSpace,
    atlas: str,
    spatial_reference: str,
) -> StageFiles:
    """Bring an atlas of the template to the T1w grid.

    atlas : as on the command line; empty for the one that comes with the template
    """
    ants = ants_tools.ants_module(0)
    template_atlas = load_atlas(space, parse_atlas(atlas) if atlas else None)
    out = StageFolder(folder, origin)
    if template_atlas is None:  # the template has no atlas of its own
        return StageFiles(out.close())
    anatomy = empty_volume(t1w)
    ranks, values = to_ranks(template_atlas.volume.data)  # ANTs counts in float32
    moving = Volume(ranks.astype(np.float32), template_atlas.volume.affine)
    warped = ants_tools.resample(ants, moving, anatomy, [inverse], nearest=True)
    labels = values[np.rint(warped).astype(np.int64)]
    names = {"space": "T1w", "atlas": template_atlas.name}
    sidecar = {"SpatialReference": spatial_reference, "AtlasSpace": space.template}
    out.image("dseg", labels.astype(np.int32), anatomy.affine, sidecar, **names)
    out.labels(template_atlas.labels, **names)
    return StageFiles(out.close())


def lesions(
    folder: Path,
    origin: Origin,
    lesion_mask: Path,
    t1w: Path,
    mask: Path,
    spaces: Sequence[OutputSpace],
    forwards: Sequence[Path],
    spatial_reference: str,
) -> StageFiles:
    """Carry a lesion mask to the T1w grid and the templates, and fill the lesions of the T1w."""
    ants = ants_tools.ants_module(0)
    anatomy, native = read_volume(t1w), read_volume(lesion_mask)
    binary = Volume((native.data > 0).astype(np.float32), native.affine)
    on_t1w = ants_tools.resample(ants, binary, anatomy, [], nearest=True) > 0.5
    out = StageFolder(folder, origin)
    names, sidecar = {"label": "lesion"}, {"Type": "Lesion"}
    out.image(
        "mask",
        on_t1w.astype(np.uint8),
        anatomy.affine,
        {**sidecar, "SpatialReference": spatial_reference},
        space="T1w",
        **names,
    )
    for space, forward in zip(spaces, forwards, strict=True):
        template = load_template(space)
        warped = ants_tools.resample(ants, binary, template.brain, [forward], nearest=True)
        out.image(
            "mask",
            warped.astype(np.uint8),
            template.brain.affine,
            {**sidecar, "Resolution": resolution_text(template.brain)},
            **space.entities,
            **names,
        )
    filled = fill_lesions(anatomy.data, on_t1w, read_volume(mask).data > 0, anatomy.voxel_mm)
    out.image(
        "T1w",
        filled.data,
        anatomy.affine,
        {
            "SkullStripped": False,
            "BiasCorrection": "N4",
            "LesionFilling": "local mean of normal-appearing white matter "
            "(after Valverde et al. 2014)",
            "Quality": {"LesionVolumeMl": filled.volume_ml, "LesionVoxelsFilled": filled.n_filled},
        },
        desc="lesionfilled",
    )
    return StageFiles(out.close())
