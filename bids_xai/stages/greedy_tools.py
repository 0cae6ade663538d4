"""Deformable registration by greedy (P. Yushkevich's ``picsl_greedy``), an optional engine.

The same work as :func:`bids_xai.stages.syn.register_deformable`, in about half the
time; the transforms that it writes are composites that ANTs reads. Deterministic: one thread and
a seed. Not among the dependencies: ``pip install picsl_greedy`` brings SimpleITK along.
"""

from __future__ import annotations

import io
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from bids_xai.arrays import Bools, Floats64
from bids_xai.bids.images import Volume
from bids_xai.errors import BadDataError, UsageError
from bids_xai.stages.ants_tools import to_ants, working_pair
from bids_xai.stages.syn import SynRecipe

# Iterations at 8, 4 and 2 mm; NCC radius in voxels; smoothing of the update and the total field;
# the field is stored without rounding.
_OPTIONS = "-m NCC 2x2x2 -n 100x50x10 -s 2vox 1vox -wp 0"
_SLOPPY_OPTIONS = "-m NCC 2x2x2 -n 30x10x0 -s 2vox 1vox -wp 0"
_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # greedy's matrices are RAS, ITK's LPS


def greedy_modules() -> tuple[Any, Any]:
    """Return the modules ``picsl_greedy`` and ``SimpleITK``.

    Raises :class:`UsageError` where they are not installed.
    """
    try:
        return import_module("picsl_greedy"), import_module("SimpleITK")
    except ImportError as error:
        raise UsageError(
            f"the registration engine greedy is not installed ({error})",
            fix="pip install picsl_greedy, or use --registration-engine ants",
        ) from error


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
    """Estimate a deformation on top of ``initial`` and write both composites (``.h5``).

    Arguments as of ``syn.register_deformable``; of the ANTs recipe only its thoroughness
    counts: one with fewer than 40 iterations in all takes greedy's short schedule.

    Raises :class:`UsageError` where greedy is not installed, :class:`BadDataError` where it fails.
    """
    greedy, sitk = greedy_modules()
    small, other, _ = working_pair(ants, fixed, moving, fixed_mask)
    linear = sitk.AffineTransform(sitk.ReadTransform(str(initial)))
    with tempfile.TemporaryDirectory(prefix="bids_xai-") as name:
        folder = Path(name)
        ants.image_write(to_ants(ants, small), str(folder / "fixed.nii"))
        ants.image_write(to_ants(ants, other), str(folder / "moving.nii"))
        np.savetxt(folder / "affine.txt", ras_matrix(linear), fmt="%.12g")
        _execute(greedy, folder, sum(recipe.iterations) < 40, seed)
        _write_composites(sitk, folder, linear, forward, inverse)


def ras_matrix(linear: Any) -> Floats64:
    """Return the (4, 4) RAS matrix of an ITK affine transform (LPS, with a centre)."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(linear.GetMatrix(), (3, 3))
    centre = np.array(linear.GetCenter())
    matrix[:3, 3] = np.array(linear.GetTranslation()) + centre - matrix[:3, :3] @ centre
    return np.asarray(_FLIP @ matrix @ _FLIP)


def _execute(greedy: Any, folder: Path, short: bool, seed: int) -> None:
    command = (
        f"-d 3 -i {folder}/fixed.nii {folder}/moving.nii -it {folder}/affine.txt "
        f"-o {folder}/warp.nii -oinv {folder}/inverse.nii -threads 1 -seed {seed + 1} -V 0 "
        + (_SLOPPY_OPTIONS if short else _OPTIONS)
    )
    output = io.StringIO()
    try:
        greedy.Greedy3D().execute(command, out=output, err=output)
    except RuntimeError as error:
        raise BadDataError(
            f"greedy failed ({error})",
            fix="check the T1w image and its brain mask, or use --registration-engine ants",
        ) from error


def _write_composites(sitk: Any, folder: Path, linear: Any, forward: Path, inverse: Path) -> None:
    """Write linear ∘ warp and its inverse; a composite applies what was added last first."""

    def field(name: str) -> Any:
        image = sitk.ReadImage(str(folder / name))
        return sitk.DisplacementFieldTransform(sitk.Cast(image, sitk.sitkVectorFloat64))

    to_template, back = sitk.CompositeTransform(3), sitk.CompositeTransform(3)
    to_template.AddTransform(linear)
    to_template.AddTransform(field("warp.nii"))
    back.AddTransform(field("inverse.nii"))
    back.AddTransform(linear.GetInverse())
    sitk.WriteTransform(to_template, str(forward))
    sitk.WriteTransform(back, str(inverse))
