"""What the header of an image says of its place and size, and whether it can be believed.

NIfTI has two places for the affine: the qform (turn, shift and voxel sizes, so always orthogonal)
and the sform (any affine), each with a code that is 0 where nothing is known. As nibabel does, the
sform counts where its code is above 0, else the qform.
"""

from __future__ import annotations

import gzip
import itertools
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bids_xai.arrays import Floats64
from bids_xai.errors import BadDataError

ALLOWED_VOXELS_MM = (0.05, 20.0)
SHEAR_TOLERANCE = (
    5e-3  # of the scalar products of the axes, as ITK's direction has to be a rotation
)
DAMAGED = "copy the file again from its source; it may be truncated or not be a NIfTI image"

_MM_PER_UNIT = {"meter": 1000.0, "micron": 0.001}
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Placement:
    """Where an image lies.

    affine : (4, 4) from voxels to mm RAS; known : whether the header says so, by a code above 0
    notes : what a user should know of the choice, a sentence each without a full stop
    """

    affine: Floats64
    known: bool
    notes: tuple[str, ...] = ()


def is_sheared(affine: Floats64) -> bool:
    """Whether the axes of a (4, 4) affine are not at right angles to each other."""
    axes = affine[:3, :3] / np.sqrt((affine[:3, :3] ** 2).sum(0))
    return not np.allclose(axes.T @ axes, np.eye(3), atol=SHEAR_TOLERANCE)


def placement(image: Any) -> Placement:
    """Return where a nibabel image lies, in mm whatever the unit of its header.

    Of a sheared sform and a qform with a code, the qform counts. Where no code is above 0, the
    axes are those of nibabel: from right to left, back to front, bottom to top.
    """
    if not hasattr(image.header, "get_sform"):  # another format than NIfTI
        return Placement(np.asarray(image.affine, dtype=np.float64), True)
    header = image.header
    scale, notes = _unit(header)
    sform, qform = header.get_sform(coded=True)[0], _qform(header)
    affine = sform if sform is not None else qform
    known = affine is not None
    if affine is None:
        affine = header.get_base_affine()
        notes.append(
            "the header says no orientation (qform and sform codes are 0): the axes are assumed "
            "to run from right to left, back to front, bottom to top"
        )
    elif sform is not None and qform is not None:
        affine, differences = _of_two(sform, qform, tuple(header.get_data_shape()[:3]), scale)
        notes += differences
    scaled = np.diag([scale, scale, scale, 1.0]) @ np.asarray(affine, dtype=np.float64)
    return Placement(scaled, known, tuple(notes))


def _unit(header: Any) -> tuple[float, list[str]]:
    """Millimetres in the unit of the header; unknown ones are mm."""
    try:
        unit = header.get_xyzt_units()[0]
    except KeyError:  # a code that NIfTI does not know
        unit = "unknown"
    if unit not in _MM_PER_UNIT:
        return 1.0, []
    return _MM_PER_UNIT[unit], [f"the unit of the header is the {unit}: its sizes are scaled to mm"]


def _qform(header: Any) -> Floats64 | None:
    """The qform where it has a code above 0 and can be computed."""
    from nibabel.spatialimages import HeaderDataError

    try:
        qform: Floats64 | None = header.get_qform(coded=True)[0]
    except (HeaderDataError, ValueError):  # a quaternion longer than 1
        return None
    return qform if qform is None or np.linalg.det(qform[:3, :3]) else None


def _of_two(
    sform: Floats64, qform: Floats64, shape: tuple[int, ...], scale: float
) -> tuple[Floats64, list[str]]:
    """The one that counts of sform and qform, and what is to be said of it."""
    if not np.isfinite(sform).all() or not np.linalg.det(sform[:3, :3]):
        return sform, []  # refused as an affine that cannot be
    if is_sheared(sform):
        return qform, ["the sform has shear: the qform is used"]
    apart = largest_distance(sform, qform, shape)
    voxel = float(np.sqrt((sform[:3, :3] ** 2).sum(0)).min())
    if apart <= voxel / 2:
        return sform, []
    return sform, [f"qform and sform differ by up to {apart * scale:.3g} mm: the sform is used"]


def largest_distance(first: Floats64, second: Floats64, shape: tuple[int, ...]) -> float:
    """Return how far apart two (4, 4) affines put a voxel of (x, y, z): a corner is farthest."""
    corners = itertools.product(*[(0, n - 1) for n in shape[:3]])
    offsets = [(first - second) @ np.array([*corner, 1.0]) for corner in corners]
    return max(float(np.linalg.norm(offset[:3])) for offset in offsets)


def check_header(path: Path, image: Any, *, assume_orientation: bool = False) -> tuple[str, ...]:
    """Return what is to be said of the header of an image before it is worked with.

    assume_orientation : accept an image whose header does not say how it lies
    Raises :class:`BadDataError` for a size of 0, more voxels than the file holds, an unknown
    orientation, shear, and voxel sizes that cannot be in mm.
    """
    check_size(path, image)
    where = placement(image)
    if not where.known and not assume_orientation:
        raise BadDataError(
            "the header does not say how the image lies (qform and sform codes are 0), so left "
            "and right are a guess",
            file=path,
            fix="convert the image again from DICOM, or check the sides and give "
            "--assume-orientation: right to left, back to front, bottom to top",
        )
    if is_sheared(where.affine):
        raise BadDataError(
            "the affine of the image has shear, and there is no qform to use in its place",
            file=path,
            fix="resample the image to an orthogonal grid",
        )
    _check_voxels(path, where)
    return where.notes


def _check_voxels(path: Path, where: Placement) -> None:
    voxels = np.sqrt((where.affine[:3, :3] ** 2).sum(0))
    low, high = ALLOWED_VOXELS_MM
    if voxels.min() < low or voxels.max() > high:
        sizes = " × ".join(f"{size:.4g}" for size in voxels)
        raise BadDataError(
            f"the voxels are {sizes} mm, outside {low:g} to {high:g} mm",
            file=path,
            fix="correct the voxel size (pixdim, qform, sform) or the unit (xyzt_units) in the "
            "header",
        )


def check_size(path: Path, image: Any) -> None:
    """Raise :class:`BadDataError` where a NIfTI file has no voxels or cannot hold all of them.

    Nothing is read into memory: a header may claim terabytes.
    """
    shape = tuple(int(n) for n in image.shape)
    if not shape or min(shape) < 1:
        raise BadDataError(f"the image has no voxels: its shape is {shape}", file=path, fix=DAMAGED)
    if not hasattr(image.header, "get_sform"):
        return
    start = int(image.dataobj.offset)
    needed = start + int(np.prod(shape, dtype=object)) * image.get_data_dtype().itemsize
    held = _held_bytes(path, needed)
    if held < needed:
        raise BadDataError(
            f"the image is damaged: the header claims {needed} bytes, the file holds {held}",
            file=path,
            fix=DAMAGED,
        )


def _held_bytes(path: Path, needed: int) -> int:
    """The uncompressed size of a file, or any number from ``needed`` on where it is enough."""
    if path.suffix != ".gz":
        return path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(-4, 2)
        last = int.from_bytes(stream.read(4), "little")  # size modulo 2^32 of the last member
    if last >= needed:
        return last
    held = 0
    try:
        with gzip.open(path) as content:
            while held < needed and (block := content.read(min(_BLOCK, needed - held))):
                held += len(block)
    except (EOFError, zlib.error, OSError) as error:
        raise BadDataError(f"the image is damaged ({error})", file=path, fix=DAMAGED) from error
    return held


def with_file(path: Path, notes: Iterable[str]) -> tuple[str, ...]:
    """Return notes that begin with the name of the file."""
    return tuple(f"{path.name}: {note}" for note in notes)
