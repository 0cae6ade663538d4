"""The stages of the participant level: read files, call, write files and a manifest.

Each function works in a folder of its own and returns the manifest; nothing here knows nipype.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.bids.files import nifti_bytes
from bids_xai.bids.images import Volume, read_volume
from bids_xai.bids.manifest import Product, label_table, save_manifest
from bids_xai.core.masks import dice, dilate
from bids_xai.core.relaxometry import fit_r2star
from bids_xai.interfaces import ants_tools
from bids_xai.interfaces.brain import extract_brain
from bids_xai.settings import EMBEDDED_TEMPLATE, OutputSpace
from bids_xai.templates.lookup import load_atlas, load_template

Made = dict[str, Path]  # the manifest and the files that later stages need, by name


@dataclass(frozen=True)
class Origin:
    """Where a product comes from: BIDS URIs of its sources, and the entities of its name."""

    entities: dict[str, str]
    sources: tuple[str, ...]


class _Folder:
    """Collects the products of a stage in one folder."""

    def __init__(self, folder: Path, origin: Origin) -> None:
        self.folder, self.origin = folder, origin
        self.products: list[Product] = []

    def image(
        self, suffix: str, data: NDArray[Any], affine: NDArray[np.float64],
        sidecar: Mapping[str, Any], **entities: str,
    ) -> Path:  # fmt: skip
        path = self.folder / f"{'_'.join(entities.values())}{suffix}.nii.gz"
        path.write_bytes(nifti_bytes(data, affine))
        return self.add(path, suffix, ".nii.gz", sidecar, **entities)

    def add(
        self, path: Path, suffix: str, extension: str, sidecar: Mapping[str, Any], **entities: str
    ) -> Path:
        content = dict(sidecar)
        if content:
            content.setdefault("Sources", list(self.origin.sources))
        names = {**self.origin.entities, **entities}
        self.products.append(Product(path.name, names, suffix, extension, content))
        return path

    def close(self) -> Path:
        return save_manifest(self.folder, self.products)


def resolution_text(volume: Volume) -> str:
    """Return the voxel size in words: TemplateFlow's ``res-1`` is an index, not 1 mm."""
    sizes = [f"{edge:.4g}" for edge in volume.voxel_mm]
    return f"{sizes[0]} mm isotropic" if len(set(sizes)) == 1 else f"{' × '.join(sizes)} mm"


def relaxometry(
    folder: Path, origin: Origin, files: Sequence[Path], echo_times_s: Sequence[float], method: str
) -> Made:
    """Fit R2* and S0 on the native grid."""
    echoes = [read_volume(Path(file)) for file in files]
    shape, affine = echoes[0].data.shape, echoes[0].affine
    signal = np.stack([echo.data.ravel() for echo in echoes])
    del echoes
    fit = fit_r2star(signal, np.asarray(echo_times_s), method)
    out = _Folder(folder, origin)
    about = {
        "EchoTime": list(echo_times_s),
        "EstimationAlgorithm": method,
        "EstimationReference": "S(t) = S0 exp(-t R2*), magnitude, voxel by voxel",
        "NumberOfInvalidVoxels": fit.n_invalid,
        "SkullStripped": False,
    }
    r2star = out.image("R2starmap", fit.r2star.reshape(shape), affine, {"Units": "1/s", **about})
    out.image("S0map", fit.s0.reshape(shape), affine, {"Units": "arbitrary", **about})
    return {"manifest": out.close(), "r2star": r2star}


def brain(folder: Path, origin: Origin, t1w: Path, *, seed: int, sloppy: bool) -> Made:
    """Correct the bias of the T1w image and find the brain."""
    template = load_template(OutputSpace(EMBEDDED_TEMPLATE, 2))
    found = extract_brain(read_volume(t1w), template, seed=seed, sloppy=sloppy)
    out = _Folder(folder, origin)
    affine = found.corrected.affine
    image = out.image(
        "T1w", found.corrected.data, affine,
        {"SkullStripped": False, "BiasCorrection": "N4"}, desc="preproc",
    )  # fmt: skip
    mask = out.image(
        "mask", found.mask.astype(np.uint8), affine,
        {"Type": "Brain", "Prior": EMBEDDED_TEMPLATE, "RandomSeed": seed}, desc="brain",
    )  # fmt: skip
    return {"manifest": out.close(), "preproc": image, "mask": mask}


def coregister(
    folder: Path, origin: Origin, magnitude: Path, t1w: Path, mask: Path, *, seed: int
) -> Made:
    """Estimate the rigid transform MEGRE → T1w from the first echo."""
    ants = ants_tools.ants_module(seed)
    fixed = read_volume(t1w)
    reach = dilate(read_volume(mask).data > 0, 8.0, fixed.voxel_mm)
    forward = ants_tools.register_linear(
        ants, fixed, read_volume(magnitude), folder / "forward.txt",
        kind="Rigid", fixed_mask=reach, seed=seed,
    )  # fmt: skip
    inverse = ants_tools.invert_linear(ants, forward, folder / "inverse.txt")
    out = _Folder(folder, origin)
    out.add(forward, "xfm", ".txt", {}, **{"from": "MEGRE", "to": "T1w", "mode": "image"})
    out.add(inverse, "xfm", ".txt", {}, **{"from": "T1w", "to": "MEGRE", "mode": "image"})
    return {"manifest": out.close(), "forward": forward, "inverse": inverse}


def normalise(
    folder: Path, origin: Origin, t1w: Path, mask: Path, space: OutputSpace, *,
    seed: int, sloppy: bool,
) -> Made:  # fmt: skip
    """Estimate affine + SyN from the T1w brain to the template."""
    ants = ants_tools.ants_module(seed)
    template = load_template(space)
    image, brain_mask = read_volume(t1w), read_volume(mask)
    stripped = Volume(image.data * (brain_mask.data > 0), image.affine)
    start = _centre_aligned(ants, template.mask, brain_mask, folder / "start.mat")
    affine = ants_tools.register_linear(
        ants, template.brain, stripped, folder / "affine.mat", kind="Affine", initial=start,
        fixed_mask=dilate(template.mask.data > 0, 8.0, template.brain.voxel_mm), seed=seed,
    )  # fmt: skip
    forward, inverse = folder / "forward.h5", folder / "inverse.h5"
    ants_tools.register_deformable(
        ants, template.brain, stripped, forward=forward, inverse=inverse,
        fixed_mask=template.mask.data > 0, initial=affine, seed=seed,
        recipe=ants_tools.SLOPPY if sloppy else ants_tools.ACCURATE,
    )  # fmt: skip
    out = _Folder(folder, origin)
    out.add(forward, "xfm", ".h5", {}, **{"from": "T1w", "to": space.template, "mode": "image"})
    out.add(inverse, "xfm", ".h5", {}, **{"from": space.template, "to": "T1w", "mode": "image"})
    return {"manifest": out.close(), "forward": forward, "inverse": inverse}


def _centre_aligned(ants: Any, fixed: Volume, moving: Volume, output: Path) -> Path:
    """Write the translation between the centres of two masks."""
    centres = [
        volume.affine[:3, :3] @ np.argwhere(volume.data > 0).mean(0) + volume.affine[:3, 3]
        for volume in (fixed, moving)
    ]
    shift = (centres[1] - centres[0]) * np.array([-1.0, -1.0, 1.0])
    transform = ants.create_ants_transform(
        transform_type="AffineTransform", dimension=3, translation=tuple(shift)
    )
    ants.write_transform(transform, str(output))
    return output


def resample_t1w(
    folder: Path, origin: Origin, r2star: Path, t1w: Path, mask: Path,
    forward: Path, inverse: Path, spatial_reference: str,
) -> Made:  # fmt: skip
    """Bring R2* to the T1w grid and the mask to the MEGRE grid."""
    ants = ants_tools.ants_module(0)
    native, anatomy, brain_mask = read_volume(r2star), read_volume(t1w), read_volume(mask)
    mapped = ants_tools.resample(ants, native, anatomy, [forward])
    native_mask = ants_tools.resample(ants, brain_mask, native, [inverse]) > 0.5
    covered = ants_tools.resample(
        ants, Volume(np.ones_like(native.data), native.affine), anatomy, [forward]
    )
    inside = brain_mask.data > 0
    quality = {"BrainCoveredByMEGRE": round(float((covered[inside] > 0.5).mean()), 4)}
    out = _Folder(folder, origin)
    result = out.image(
        "R2starmap", mapped, anatomy.affine,
        {"Units": "1/s", "SkullStripped": False, "SpatialReference": spatial_reference,
         "Interpolation": "linear", "Quality": quality}, space="T1w",
    )  # fmt: skip
    out.image(
        "mask", native_mask.astype(np.uint8), native.affine,
        {"Type": "Brain", "SpatialReference": origin.sources[0]}, space="MEGRE", desc="brain",
    )  # fmt: skip
    return {"manifest": out.close(), "r2star": result}


def resample_template(
    folder: Path, origin: Origin, t1w: Path, mask: Path, space: OutputSpace,
    forward: Path, inverse: Path, spatial_reference: str, with_atlas: bool,
) -> Made:  # fmt: skip
    """Bring T1w and mask to the template, and the template's atlas to the T1w grid."""
    ants = ants_tools.ants_module(0)
    template = load_template(space)
    anatomy, brain_mask = read_volume(t1w), read_volume(mask)
    warped = ants_tools.resample(ants, anatomy, template.brain, [forward])
    warped_mask = ants_tools.resample(ants, brain_mask, template.brain, [forward]) > 0.5
    there = template.mask.data > 0
    quality = {
        "MaskDice": round(dice(warped_mask, there), 4),
        "Correlation": round(
            float(np.corrcoef(warped[there], template.brain.data[there])[0, 1]), 4
        ),
        "TemplateCovered": round(float(warped_mask[there].mean()), 4),
    }
    out = _Folder(folder, origin)
    names = {"space": space.template, "res": str(space.resolution)}
    about = {"Resolution": resolution_text(template.brain), "Interpolation": "linear"}
    out.image(
        "T1w", warped, template.brain.affine,
        {"SkullStripped": False, **about, "Quality": quality}, **names, desc="preproc",
    )  # fmt: skip
    out.image(
        "mask", warped_mask.astype(np.uint8), template.brain.affine,
        {"Type": "Brain", **about}, **names, desc="brain",
    )  # fmt: skip
    if with_atlas:
        _atlas_products(ants, out, anatomy, space, inverse, spatial_reference)
    return {"manifest": out.close()}


def _atlas_products(
    ants: Any, out: _Folder, anatomy: Volume, space: OutputSpace, inverse: Path, reference: str
) -> None:
    atlas = load_atlas(space)
    if atlas is None:
        return
    labels = ants_tools.resample(ants, atlas.volume, anatomy, [inverse], nearest=True)
    names = {"space": "T1w", "atlas": atlas.name}
    about = {"SpatialReference": reference, "AtlasSpace": space.template}
    out.image("dseg", np.rint(labels).astype(np.int32), anatomy.affine, about, **names)
    table = out.folder / f"{atlas.name}_dseg.tsv"
    table.write_text(label_table(atlas.labels))
    out.add(table, "dseg", ".tsv", {}, **names)


def resample_map_to_template(
    folder: Path, origin: Origin, r2star: Path, space: OutputSpace,
    to_t1w: Path, to_template: Path,
) -> Made:  # fmt: skip
    """Bring the native R2* map to the template in one interpolation."""
    ants = ants_tools.ants_module(0)
    template = load_template(space)
    mapped = ants_tools.resample(ants, read_volume(r2star), template.brain, [to_template, to_t1w])
    out = _Folder(folder, origin)
    out.image(
        "R2starmap", mapped, template.brain.affine,
        {"Units": "1/s", "SkullStripped": False, "Interpolation": "linear",
         "Resolution": resolution_text(template.brain)},
        space=space.template, res=str(space.resolution),
    )  # fmt: skip
    return {"manifest": out.close()}
