"""Registration and resampling by ANTs (antspyx) on :class:`Volume` objects.

ITK works in LPS millimetres, NIfTI in RAS; volumes keep the affine of the file they came from.
All functions are deterministic for a seed: one ITK thread and a fixed seed.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bids_xai.arrays import Bools, Floats32, Floats64
from bids_xai.bids.images import Volume
from bids_xai.core.masks import dilate
from bids_xai.errors import BadDataError, UsageError

LOG = logging.getLogger("bids_xai")
_LPS = np.diag([-1.0, -1.0, 1.0])


def ants_module(seed: int) -> Any:
    """Import antspyx in deterministic mode (it ignores its own ``random_seed`` otherwise)."""
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
    os.environ["ANTS_RANDOM_SEED"] = str(seed + 1)
    import ants

    ants.config.set_ants_deterministic(True, seed + 1)  # seed 0 would mean "by the clock"
    return ants


def to_ants(ants: Any, volume: Volume) -> Any:
    """Return the volume as an ANTs image (float32).

    Raises :class:`BadDataError` for an affine with shear, which ITK cannot represent.
    """
    spacing = np.array(volume.voxel_mm)
    rotation = volume.affine[:3, :3] / spacing
    if not np.allclose(rotation.T @ rotation, np.eye(3), atol=5e-3):
        raise BadDataError(
            "the affine of the image has shear", fix="resample the image to an orthogonal grid"
        )
    left, _, right = np.linalg.svd(rotation)
    direction = _LPS @ (left @ right)
    origin = _LPS @ volume.affine[:3, 3]
    finite = np.nan_to_num(
        volume.data, nan=0.0, posinf=0.0, neginf=0.0
    )  # one NaN ends ITK's search
    data = np.ascontiguousarray(finite, dtype=np.float32)
    return ants.from_numpy(
        data, origin=tuple(origin), spacing=tuple(float(s) for s in spacing), direction=direction
    )


def resample(
    ants: Any,
    moving: Volume,
    reference: Volume,
    transforms: Sequence[str | Path],
    *,
    nearest: bool = False,
    invert: Sequence[bool] | None = None,
) -> Floats32:
    """Return ``moving`` on the grid of ``reference`` in one interpolation.

    transforms : in ANTs order, the one nearest to the reference first; ``invert`` flags affine
        ones to be inverted. Linear interpolation, or nearest neighbour for labels; 0 outside.
    """
    image = ants.apply_transforms(
        to_ants(ants, reference),
        to_ants(ants, moving),
        [str(t) for t in transforms],
        interpolator="nearestNeighbor" if nearest else "linear",
        whichtoinvert=list(invert) if invert is not None else None,
    )
    return np.asarray(image.numpy(), dtype=np.float32)


@dataclass(frozen=True)
class SynRecipe:
    """Levels of a symmetric diffeomorphic registration, coarse to fine.

    iterations, level_mm, smoothing_mm : one number a level: most iterations, voxel size, sd of
        the Gaussian before sampling
    metric, sampling : ``CC`` with its radius in voxels, or ``mattes`` with its histogram bins
    step, flow_voxels, total_voxels : gradient step, and the variances (voxels) of the Gaussians
        that smooth the update field and the total field
    masked : evaluate the metric within the dilated template mask only. CC without a mask also
        sees the edge of the brain: 0.87 → 0.97 Dice on simulated nuclei (docs/registration.md).
    """

    iterations: tuple[int, ...]
    metric: str = "mattes"
    sampling: int = 32
    level_mm: tuple[float, ...] = (8.0, 4.0, 2.0)
    smoothing_mm: tuple[float, ...] = (4.0, 2.0, 0.0)
    step: float = 0.2
    flow_voxels: float = 3.0
    total_voxels: float = 0.0
    masked: bool = True


ACCURATE = SynRecipe(
    (50, 30, 15),
    metric="CC",
    sampling=2,
    level_mm=(16.0, 8.0, 4.0),
    smoothing_mm=(4.0, 2.0, 1.0),
    masked=False,
)
SECOND_PRIOR = SynRecipe(
    (40, 15, 0),
    metric="CC",
    sampling=2,
    level_mm=(16.0, 8.0, 4.0),
    smoothing_mm=(4.0, 2.0, 1.0),
    masked=False,
)
ROUGH = SynRecipe((40, 5, 0))  # for the first prior of the brain mask
SLOPPY = SynRecipe((15, 5, 0))
MATTES = SynRecipe((40, 20, 0))  # the quick one that ANTs calls SyN

WORK_MM = 2.0  # images are registered, and masks found, on a grid of this size
NORMALISATIONS = ("none", "linear", "nonlinear")


def coarsen(ants: Any, volume: Volume, voxel_mm: float = WORK_MM) -> Volume:
    """Return the volume smoothed and sampled at ``voxel_mm`` where it is finer than that."""
    voxel = volume.voxel_mm
    target = tuple(max(voxel_mm, v) for v in voxel)
    if np.allclose(voxel, target, rtol=0.2):
        return volume
    image = ants.smooth_image(
        to_ants(ants, volume),
        [0.4 * t if t > v else 0.0 for v, t in zip(voxel, target, strict=True)],
    )
    small = ants.resample_image(image, target, False, 0)
    affine = np.eye(4)
    affine[:3, :3] = _LPS @ np.asarray(small.direction) @ np.diag(small.spacing)
    affine[:3, 3] = _LPS @ np.asarray(small.origin)
    return Volume(np.asarray(small.numpy(), dtype=np.float32), affine)


def crop(volume: Volume, mask: Bools, margin_mm: float) -> tuple[slice, ...]:
    """Return the slices of the box around ``mask`` (x, y, z), wider by ``margin_mm``."""
    margin = np.ceil(margin_mm / np.array(volume.voxel_mm)).astype(int)
    inside = np.argwhere(mask)
    low = np.maximum(inside.min(0) - margin, 0)
    high = np.minimum(inside.max(0) + margin + 1, mask.shape)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def cut(volume: Volume, box: tuple[slice, ...]) -> Volume:
    """Return the part of the volume in a box, where it was in the world."""
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [part.start for part in box]
    return Volume(volume.data[box], affine)


def working_pair(
    ants: Any, fixed: Volume, moving: Volume, fixed_mask: Bools
) -> tuple[Volume, Volume, Bools]:
    """Return fixed (cropped to its mask, 8 mm margin), moving and mask on grids of 2 mm."""
    box = crop(fixed, fixed_mask, 8.0)
    mask = Volume(fixed_mask.astype(np.float32), fixed.affine)
    small = coarsen(ants, cut(mask, box)).data > 0.5
    return coarsen(ants, cut(fixed, box)), coarsen(ants, moving), small


@contextmanager
def _scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="bids_xai-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def register_linear(
    ants: Any,
    fixed: Volume,
    moving: Volume,
    output: Path,
    *,
    kind: str,
    fixed_mask: Bools,
    initial: Path | None = None,
    seed: int = 0,
) -> Path:
    """Estimate a ``Rigid`` or ``Affine`` transform by mutual information within the mask.

    initial : a transform file to start from; the headers are believed where it is ``None``.
    Returns ``output`` (ITK text or ``.mat`` file) for use with
    ``apply_transforms(fixed, moving, [output])``.
    """
    shapes = fixed.data.shape, moving.data.shape
    LOG.debug("ANTs %s, voxels %s and %s, seed %d", kind, *shapes, seed)
    with _scratch() as folder:
        if initial is None:
            initial = folder / "identity.mat"
            identity = ants.create_ants_transform(transform_type="AffineTransform", dimension=3)
            ants.write_transform(identity, str(initial))
        fixed_image = to_ants(ants, fixed)
        result = ants.registration(
            fixed_image,
            to_ants(ants, moving),
            kind,
            initial_transform=str(initial),
            outprefix=str(folder / "linear_"),
            mask=fixed_image.new_image_like(fixed_mask.astype(np.float32)),
            mask_all_stages=True,
            aff_iterations=(500, 250, 100, 0),
            aff_shrink_factors=(4, 3, 2, 1),
            aff_smoothing_sigmas=(3, 2, 1, 0),
            random_seed=seed + 1,
        )
        ants.write_transform(ants.read_transform(result["fwdtransforms"][0]), str(output))
    return output


def invert_linear(ants: Any, transform: Path, output: Path) -> Path:
    """Write the inverse of a linear transform file."""
    ants.write_transform(ants.read_transform(str(transform)).invert(), str(output))
    return output


def register_deformable(
    ants: Any,
    fixed: Volume,
    moving: Volume,
    *,
    forward: Path,
    inverse: Path,
    fixed_mask: Bools,
    recipe: SynRecipe,
    initial: Path,
    seed: int = 0,
) -> None:
    """Estimate a SyN transform on top of ``initial`` and write both composites (``.h5``).

    fixed, moving : brains on any grids; they are registered at 2 mm, near ``fixed_mask``
    initial : the file of a linear transform, which becomes part of the composites
    """
    small, other, mask = working_pair(ants, fixed, moving, fixed_mask)
    LOG.debug(
        "ANTs SyN of voxels %s and %s, seed %d: %s",
        small.data.shape,
        other.data.shape,
        seed,
        recipe,
    )
    fixed_image, moving_image = to_ants(ants, small), to_ants(ants, other)
    reach = fixed_image.new_image_like(dilate(mask, 8.0, small.voxel_mm).astype(np.float32))
    with _scratch() as folder:
        prefix = str(folder / "syn_")
        arguments = _syn_arguments(fixed_image, moving_image, small, recipe)
        arguments += ["-r", str(initial), "--output", f"[{prefix}]", "--random-seed", str(seed + 1)]
        if recipe.masked:
            arguments += ["-x", f"[{_pointer(reach)},NA]"]
        ants.registration(arguments, None)
        shutil.copyfile(prefix + "Composite.h5", forward)
        shutil.copyfile(prefix + "InverseComposite.h5", inverse)


def _syn_arguments(fixed: Any, moving: Any, grid: Volume, recipe: SynRecipe) -> list[str]:
    """Return the arguments of antsRegistration that the recipe decides."""
    voxel = float(np.mean(grid.voxel_mm))
    shrink = [max(1, round(level / voxel)) for level in recipe.level_mm]
    sigmas = [sigma / voxel for sigma in recipe.smoothing_mm]
    step = f"SyN[{recipe.step},{recipe.flow_voxels},{recipe.total_voxels}]"
    metric = f"{recipe.metric}[{_pointer(fixed)},{_pointer(moving)},1,{recipe.sampling}]"
    return [
        "--dimensionality",
        "3",
        "--float",
        "1",
        "--write-composite-transform",
        "1",
        "-z",
        "1",
        "--metric",
        metric,
        "--transform",
        step,
        "--convergence",
        f"[{_levels(recipe.iterations)},1e-6,10]",
        "--smoothing-sigmas",
        _levels(f"{s:.4g}" for s in sigmas) + "vox",
        "--shrink-factors",
        _levels(shrink),
    ]


def _levels(values: Iterable[object]) -> str:
    return "x".join(str(value) for value in values)


def _pointer(image: Any) -> str:
    from ants.internal import get_pointer_string

    return str(get_pointer_string(image))


def align_centres(
    ants: Any, fixed: Volume, moving: Volume, output: Path, *, masks: bool = False
) -> Path:
    """Write the translation (``.mat``, ``.txt`` or ``.h5``) between two centres.

    masks : the centres of what is above 0 in both, otherwise those of the grids: resampling then
        only crops and pads (and interpolates, where the voxels differ)
    """
    shift = (_centre_mm(moving, masks) - _centre_mm(fixed, masks)) @ _LPS
    transform = ants.create_ants_transform(
        transform_type="AffineTransform", dimension=3, translation=tuple(shift)
    )
    ants.write_transform(transform, str(output))
    return output


def _reach(ants: Any, mask: Volume) -> Bools:
    """Return what lies within 8 mm of a mask, on the grid of its coarsened image."""
    small = coarsen(ants, Volume((mask.data > 0).astype(np.float32), mask.affine))
    return dilate(small.data > 0.5, 8.0, small.voxel_mm)


def _centre_mm(volume: Volume, mask: bool) -> Floats64:
    if mask and not np.any(volume.data > 0):
        raise BadDataError("a mask is empty", fix="look at the brain mask of this scan")
    shape = np.array(volume.data.shape)
    index = np.argwhere(volume.data > 0).mean(0) if mask else (shape - 1) / 2
    return np.asarray(volume.affine[:3, :3] @ index + volume.affine[:3, 3])


Deformable = Callable[..., None]  # the signature of register_deformable


def register_to_template(
    ants: Any,
    template: Volume,
    template_mask: Volume,
    brain: Volume,
    brain_mask: Volume,
    *,
    method: str,
    forward: Path,
    inverse: Path,
    recipe: SynRecipe | None = None,
    deformable: Deformable | None = None,
    seed: int = 0,
) -> None:
    """Write the transforms T1w → template (``forward``) and back (``inverse``), ``.h5`` each.

    template, template_mask : brain-only image and mask on one grid
    brain, brain_mask : bias-corrected T1w image, with or without its skull, and mask on one grid
    method : ``none`` puts the centre of the T1w grid onto that of the template's; ``linear`` is
        affine; ``nonlinear`` is affine and SyN (klingenberg2021 compares the three)
    recipe : of SyN, :data:`ACCURATE` by default
    deformable : :func:`register_deformable` or ``greedy_tools.register_deformable``

    Raises :class:`UsageError` for another method, :class:`BadDataError` for an empty mask.
    """
    if method not in NORMALISATIONS:
        raise UsageError(f"no normalisation {method!r}", fix=f"one of {', '.join(NORMALISATIONS)}")
    if method == "none":
        invert_linear(ants, align_centres(ants, template, brain, forward), inverse)
        return
    inside = template_mask.data > 0
    stripped = Volume(brain.data * (brain_mask.data > 0), brain.affine)
    with _scratch() as folder:
        start = align_centres(ants, template_mask, brain_mask, folder / "start.mat", masks=True)
        affine = register_linear(
            ants,
            coarsen(ants, template),
            coarsen(ants, stripped),
            folder / "affine.mat",
            kind="Affine",
            initial=start,
            fixed_mask=_reach(ants, template_mask),
            seed=seed,
        )
        if method == "linear":
            ants.write_transform(ants.read_transform(str(affine)), str(forward))
            invert_linear(ants, affine, inverse)
            return
        (deformable or register_deformable)(
            ants,
            template,
            stripped,
            forward=forward,
            inverse=inverse,
            fixed_mask=inside,
            recipe=recipe or ACCURATE,
            initial=affine,
            seed=seed,
        )
