"""Maps and masks of a scan, brought to the grid and scale that a model card asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bids_xai.bids.images import Volume, read_header, read_volume
from bids_xai.core.inputs import centred_grid, covering_shape, network_input, resample_grid
from bids_xai.errors import BadDataError

_MAX_CROPPED_BRAIN = 0.01


def common_shape(maps: Sequence[Path], voxel_mm: float | None) -> tuple[int, int, int]:
    """Return the smallest shape that covers every map, in closest-to-RAS axis order."""
    import nibabel as nib

    shapes = []
    for path in maps:
        shape, affine = read_header(path)
        order = nib.io_orientation(affine)[:, 0].astype(int)
        turned = [0, 0, 0]
        columns = np.zeros((4, 4))
        columns[3, 3] = 1
        for old, new in enumerate(order):
            turned[new] = shape[old]
            columns[:3, new] = affine[:3, old]
        shapes.append(covering_shape(tuple(turned), columns, voxel_mm))
    x, y, z = (int(n) for n in np.max(shapes, axis=0))
    return (x, y, z)


def load_network_input(
    map_file: Path,
    mask_file: Path,
    *,
    shape: tuple[int, ...],
    voxel_mm: float | None,
    scale: float,
    skull_strip: bool,
    maximum: float | None = None,
) -> tuple[Volume, Volume]:
    """Return the network's input (float32, ≥ 0) and the brain mask (0 or 1) on its grid.

    The grid has the axes of the scan in closest-to-RAS order and its centre; the affine is true.
    Raises :class:`BadDataError` where more than 1 % of the brain would be cropped.
    """
    image, mask = read_volume(map_file).canonical(), read_volume(mask_file).canonical()
    if image.data.shape != mask.data.shape:
        raise BadDataError(
            f"map {image.data.shape} and brain mask {mask.data.shape} have different shapes",
            file=mask_file,
            fix="run the participant level again for this participant",
        )
    affine = centred_grid(image.data.shape, image.affine, shape, voxel_mm)
    values = network_input(
        image.data, mask.data if skull_strip else None, scale=scale, maximum=maximum
    )
    on_grid = resample_grid(mask.data > 0, mask.affine, shape, affine)
    _check_brain_inside(mask, on_grid.sum(), affine, map_file)
    return (
        Volume(resample_grid(values, image.affine, shape, affine), affine),
        Volume((on_grid > 0.5).astype(np.float32), affine),
    )


def _check_brain_inside(mask: Volume, n_on_grid: float, affine: np.ndarray, file: Path) -> None:
    before = float((mask.data > 0).sum()) * abs(np.linalg.det(mask.affine[:3, :3]))
    after = float(n_on_grid) * abs(np.linalg.det(affine[:3, :3]))
    if before <= 0:
        raise BadDataError("the brain mask is empty", file=file, fix="look at the T1w image")
    if after < (1 - _MAX_CROPPED_BRAIN) * before - 1.0:
        raise BadDataError(
            f"{100 * (1 - after / before):.0f} % of the brain lies outside the model's grid",
            file=file,
            fix="use a model that was trained on images with this field of view",
        )
