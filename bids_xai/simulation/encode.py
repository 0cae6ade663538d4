"""From arrays, records and transforms to the content of files. Equal input gives equal bytes."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from bids_xai.arrays import Bools, Floats
from bids_xai.simulation.deformation import LPS, ControlGrid, Grid

_VECTOR_INTENT = 1007


def image(data: NDArray[Any], grid: Grid, *, intent: int = 0) -> bytes:
    """A gzipped NIfTI with the grid as scanner coordinates, and no time stamp."""
    nifti = nib.Nifti1Image(data, grid.affine)
    nifti.set_sform(grid.affine, code="scanner")
    nifti.set_qform(grid.affine, code="scanner")
    nifti.header.set_xyzt_units("mm", "sec")
    nifti.header.set_intent(intent)
    return gzip.compress(nifti.to_bytes(), compresslevel=3, mtime=0)


def mask(data: Bools, grid: Grid) -> bytes:
    """A mask as a gzipped NIfTI of 0 and 1."""
    return image(data.astype(np.uint8), grid)


def field(control: ControlGrid) -> bytes:
    """ITK displacement field: 5-D vectors in mm, LPS, from T1w world to template world."""
    vectors = control.displacement_mm * np.diag(LPS)[:3, None, None, None]
    data = np.moveaxis(vectors, 0, -1)[:, :, :, None, :].astype(np.float32)
    return image(data, control.grid, intent=_VECTOR_INTENT)


def rigid(other_to_t1w: Floats) -> bytes:
    """ITK transform that brings other images to the T1w grid: T1w to their world, mm, LPS.

    other_to_t1w : (4, 4) world mm, RAS
    """
    matrix = LPS @ np.linalg.inv(other_to_t1w) @ LPS
    numbers = " ".join(f"{x:.12g}" for x in [*matrix[:3, :3].ravel(), *matrix[:3, 3]])
    return (
        "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n"
        f"Parameters: {numbers}\nFixedParameters: 0 0 0\n"
    ).encode()


def identity() -> bytes:
    """ITK composite transform (HDF5) that leaves everything where it is."""
    import h5py

    kinds = ("CompositeTransform_double_3_3", "AffineTransform_double_3_3")
    stream = io.BytesIO()
    with h5py.File(stream, "w", libver="earliest") as file:
        group = file.create_group("TransformGroup")
        for number, kind in enumerate(kinds):
            part = group.create_group(str(number))
            _dataset(part, "TransformType", [kind], h5py.string_dtype("ascii"))
        _dataset(part, "TransformParameters", [*np.eye(3).ravel(), 0, 0, 0], np.float64)
        _dataset(part, "TransformFixedParameters", np.zeros(3), np.float64)
    return stream.getvalue()


def _dataset(group: Any, name: str, values: Any, kind: Any) -> None:
    group.create_dataset(name, data=values, dtype=kind, track_times=False)


def record(content: Mapping[str, Any]) -> bytes:
    """A JSON object."""
    return (json.dumps(content, indent=2) + "\n").encode()


def table(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A TSV whose columns are the keys of its first row."""
    lines = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    return "".join("\t".join(line) + "\n" for line in lines).encode()
