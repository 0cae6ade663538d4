"""Registration and resampling by ANTs (antspyx) on :class:`Volume` objects.

ITK works in LPS millimetres, NIfTI in RAS; volumes keep the affine of the file they came from.
All functions are deterministic for a seed: one ITK thread and a fixed seed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.bids.images import Volume
from bids_xai.core.masks import dilate
from bids_xai.errors import BadDataError

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
    data = np.ascontiguousarray(volume.data, dtype=np.float32)
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
) -> NDArray[np.float32]:
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
    """Levels of a symmetric diffeomorphic registration, coarse to fine."""

    iterations: tuple[int, ...]
    metric: str = "mattes"
    sampling: int = 32  # radius in voxels for CC, histogram bins for mattes


ACCURATE = SynRecipe((40, 20, 0))
ROUGH = SynRecipe((40, 5, 0))  # for the prior of the brain mask
SLOPPY = SynRecipe((15, 5, 0))


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
    fixed_mask: NDArray[np.bool_],
    initial: Path | None = None,
    seed: int = 0,
) -> Path:
    """Estimate a ``Rigid`` or ``Affine`` transform by mutual information within the mask.

    initial : a transform file to start from; the headers are believed where it is ``None``.
    Returns ``output`` (ITK text or ``.mat`` file) for use with
    ``apply_transforms(fixed, moving, [output])``.
    """
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
    fixed_mask: NDArray[np.bool_],
    recipe: SynRecipe,
    initial: Path,
    seed: int = 0,
) -> None:
    """Estimate a SyN transform on top of ``initial`` and write both composites (``.h5``)."""
    with _scratch() as folder:
        fixed_image = to_ants(ants, fixed)
        reach = dilate(fixed_mask, 8.0, fixed.voxel_mm).astype(np.float32)
        result = ants.registration(
            fixed_image,
            to_ants(ants, moving),
            "SyNOnly",
            initial_transform=str(initial),
            outprefix=str(folder / "syn_"),
            mask=fixed_image.new_image_like(reach),
            mask_all_stages=True,
            syn_metric=recipe.metric,
            syn_sampling=recipe.sampling,
            reg_iterations=recipe.iterations,
            write_composite_transform=True,
            random_seed=seed + 1,
        )
        shutil.copyfile(result["fwdtransforms"], forward)
        shutil.copyfile(result["invtransforms"], inverse)
