"""Maps and masks of a scan, brought to the grid and scale that a model card asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bids_xai.arrays import Floats32
from bids_xai.bids.images import Volume, read_header, read_volume
from bids_xai.core.grids import centred_grid, covering_shape, resample_grid
from bids_xai.core.inputs import network_input, standardise
from bids_xai.core.regions.lesions import filled_part
from bids_xai.errors import BadDataError, NoInputError
from bids_xai.runtime.atomic import replacing

if TYPE_CHECKING:
    from bids_xai.models.card import ModelCard

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


@dataclass(frozen=True)
class InputRule:
    """How a map becomes the input of a network; see ``models.card.ModelCard`` for the names.

    statistics : mean and sd of every voxel over the training scans, for ``zscore`` alone
    """

    shape: tuple[int, int, int]
    voxel_mm: float | None = None
    scaling: str = "fixed"
    scale: float = 1.0
    maximum: float | None = None
    skull_strip: bool = False
    statistics: tuple[Floats32, Floats32] | None = None

    @classmethod
    def of_model(cls, card: ModelCard, folder: Path) -> InputRule:
        """The rule of a saved model.

        Raises :class:`NoInputError` where the statistics of its z-scores are missing.
        """
        return cls(
            shape=card.input_shape,
            voxel_mm=card.voxel_mm[0] if card.voxel_mm else None,
            scaling=card.scaling,
            scale=card.scale,
            maximum=card.maximum,
            skull_strip=card.skull_strip,
            statistics=load_statistics(folder) if card.scaling == "zscore" else None,
        )


STATISTICS = "input.safetensors"
_STATISTICS_NAMES = ("mean", "sd")


def save_statistics(folder: Path, statistics: tuple[Floats32, Floats32]) -> Path:
    """Write mean and sd of every voxel beside a model.

    Raises :class:`CannotCreateError` where the folder or disk refuses.
    """
    from safetensors.numpy import save

    content = save(dict(zip(_STATISTICS_NAMES, statistics, strict=True)))
    with replacing(folder / STATISTICS) as temporary:
        temporary.write_bytes(content)
    return folder / STATISTICS


def load_statistics(folder: Path) -> tuple[Floats32, Floats32]:
    """Read what :func:`save_statistics` wrote; ``folder`` may be the path of the card."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    file = (folder.parent if folder.suffix == ".json" else folder) / STATISTICS
    if not file.is_file():
        raise NoInputError(
            "mean and sd of the training scans are missing",
            file=file,
            fix="copy the whole folder of the model",
        )
    try:
        values = load_file(file)
        mean, sd = (values[name] for name in _STATISTICS_NAMES)
        return mean, sd
    except (SafetensorError, KeyError) as error:
        raise BadDataError(
            f"the statistics cannot be read ({error})", file=file, fix="train the model again"
        ) from error


def load_network_input(map_file: Path, mask_file: Path, rule: InputRule) -> tuple[Volume, Volume]:
    """Return the network's input (float32) and the brain mask (0 or 1) on its grid.

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
    affine = centred_grid(image.data.shape, image.affine, rule.shape, rule.voxel_mm)
    try:
        values = network_input(
            image.data,
            mask.data if rule.skull_strip else None,
            scale=rule.scale,
            maximum=rule.maximum,
            scaling=rule.scaling,
        )
    except BadDataError as error:
        raise BadDataError(error.problem, file=map_file, fix=error.fix) from error
    on_grid = resample_grid(mask.data > 0, mask.affine, rule.shape, affine)
    _check_brain_inside(mask, on_grid.sum(), affine, map_file)
    values = resample_grid(values, image.affine, rule.shape, affine)
    if rule.statistics is not None:
        values = standardise(values, *rule.statistics)
    return Volume(values, affine), Volume((on_grid > 0.5).astype(np.float32), affine)


def load_region_mask(label_file: Path, indices: Sequence[int], like: Volume) -> Volume:
    """Return 1 in the voxels at least half of which have a label of ``indices``.

    indices : labels of the region; any label where there are none
    like : a volume of the network's grid, of the same scan
    """
    labels = read_volume(label_file, np.int32)
    region = np.isin(labels.data, indices) if indices else labels.data > 0
    filled = filled_part(region, labels.affine, like.data.shape, like.affine)
    return Volume((filled >= 0.5).astype(np.float32), like.affine)


def _check_brain_inside(mask: Volume, n_on_grid: float, affine: np.ndarray, file: Path) -> None:
    before = float((mask.data > 0).sum()) * abs(np.linalg.det(mask.affine[:3, :3]))
    after = float(n_on_grid) * abs(np.linalg.det(affine[:3, :3]))
    if before <= 0:
        raise BadDataError("the brain mask is empty", file=file, fix="check the T1w image")
    if after < (1 - _MAX_CROPPED_BRAIN) * before - 1.0:
        raise BadDataError(
            f"{100 * (1 - after / before):.0f} % of the brain lies outside the model's grid",
            file=file,
            fix="use a model that was trained on images with this field of view",
        )
