"""What a scan is like, for comparison with those that a model was trained on."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bids_xai.arrays import Bools
from bids_xai.bids.images import read_header, read_volume
from bids_xai.bids.layout import read_json
from bids_xai.core.inputs import brain_quantiles
from bids_xai.errors import BadDataError
from bids_xai.models.training_scans import ScanFacts


def facts_of(map_file: Path, quantiles: tuple[float, float, float]) -> ScanFacts:
    """Return what header and sidecar of a map say; quantiles : see :func:`map_quantiles`.

    Raises the errors of :func:`bids_xai.bids.images.read_header` and, for a sidecar that cannot
    be read, :class:`BadDataError`.
    """
    _, affine = read_header(map_file)
    x, y, z = (float((affine[:3, axis] ** 2).sum() ** 0.5) for axis in range(3))
    file = map_file.with_name(map_file.name.removesuffix(".nii.gz") + ".json")
    sidecar = read_json(file) if file.is_file() else {}
    return ScanFacts(
        field_strength_t=_number(sidecar.get("MagneticFieldStrength")),
        echo_times_s=_numbers(sidecar.get("EchoTime")),
        voxel_mm=(x, y, z),
        quantiles=quantiles,
    )


def map_quantiles(map_file: Path, mask_file: Path) -> tuple[float, float, float]:
    """Return the 5th percentile, median and 95th percentile of a map in the brain, in its units.

    Raises as :func:`map_and_brain`.
    """
    return brain_quantiles(*map_and_brain(map_file, mask_file))


def map_and_brain(map_file: Path, mask_file: Path) -> tuple[NDArray[Any], Bools]:
    """Return the voxels (x, y, z) of a map, and which of them are brain.

    Raises :class:`BadDataError` where map and mask do not lie on one grid, and the errors of
    :func:`bids_xai.bids.images.read_volume`.
    """
    values, mask = read_volume(map_file).data, read_volume(mask_file).data
    if values.shape != mask.shape:
        raise BadDataError(
            f"map {values.shape} and brain mask {mask.shape} have different shapes",
            file=mask_file,
            fix="run the participant level again for this participant",
        )
    return values, mask > 0


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def _numbers(value: Any) -> tuple[float, ...]:
    """The numbers of a list; none where one of them is no number."""
    numbers = [_number(item) for item in value] if isinstance(value, list) else []
    finite = tuple(number for number in numbers if number is not None)
    return finite if len(finite) == len(numbers) else ()
