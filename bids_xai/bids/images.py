"""Reading volumes, with one clear error for whatever may be wrong with the file."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.arrays import Floats64
from bids_xai.bids.headers import DAMAGED, check_header, check_size, placement
from bids_xai.bids.integrity import check_intact
from bids_xai.errors import BadDataError, FileAccessError, NoInputError


@dataclass(frozen=True)
class Volume:
    """A 3-D image: ``data`` (x, y, z) and ``affine`` (4, 4) from voxels to mm RAS."""

    data: NDArray[Any]
    affine: Floats64

    @property
    def voxel_mm(self) -> tuple[float, ...]:
        """Edge lengths of a voxel in mm."""
        return tuple(float(v) for v in np.sqrt((self.affine[:3, :3] ** 2).sum(0)))

    def canonical(self) -> Volume:
        """Return the same volume with axes flipped and swapped to the closest RAS order."""
        import nibabel as nib

        orientation = nib.io_orientation(self.affine)
        data = nib.apply_orientation(self.data, orientation)
        affine = self.affine @ nib.orientations.inv_ornt_aff(orientation, self.data.shape)
        return Volume(data, affine)


_NIFTI2 = (540, int.from_bytes((540).to_bytes(4, "big"), "little"))
_EMPTY = "copy the file again from its source, or fetch it (datalad get)"


def read_header(path: Path) -> tuple[tuple[int, ...], Floats64]:
    """Return (shape, affine) without reading the voxels. Errors as :func:`read_volume`."""
    image = _open(path)
    return tuple(int(n) for n in image.shape), placement(image).affine


def header_notes(path: Path, *, assume_orientation: bool = True) -> tuple[str, ...]:
    """Return what is to be said of an image's header, a sentence each, without reading the voxels.

    assume_orientation : see :func:`bids_xai.bids.headers.check_header`, whose errors it has, and
        those of :func:`read_header`
    """
    return check_header(path, _open(path), assume_orientation=assume_orientation)


def empty_volume(path: Path) -> Volume:
    """Return zeros on the grid of an image, for what needs the grid alone. Errors as there."""
    shape, affine = read_header(path)
    return Volume(np.zeros(shape[:3], np.float32), affine)


def read_volume(path: Path, dtype: Any = np.float32) -> Volume:
    """Read a 3-D volume with its scaling applied.

    Raises :class:`NoInputError` where there is no file, :class:`BadDataError` where it is
    damaged (also where it is a result, and not what was written), not 3-D, or has more than one
    real number a voxel (colours, complex), :class:`FileAccessError` where it cannot be read.
    """
    image = _open(path, whole=True)
    kind = np.dtype(image.get_data_dtype())
    if kind.kind not in "biuf":
        raise BadDataError(
            f"expected one real number per voxel, found {'colours' if kind.fields else kind.name}",
            file=path,
            fix="store magnitude and phase, or each colour, as an image of its own",
        )
    shape = image.shape[:3] if all(n == 1 for n in image.shape[3:]) else image.shape
    if len(shape) != 3:
        raise BadDataError(
            f"expected a 3-D volume, found shape {image.shape}",
            file=path,
            fix="split the series into one 3-D file per echo, named echo-<n>, as BIDS requires",
        )
    try:
        data = np.asarray(image.dataobj, dtype=dtype).reshape(shape)
    except (EOFError, zlib.error, ValueError) as error:
        raise BadDataError("the image is damaged", file=path, fix=DAMAGED) from error
    except OSError as error:
        raise BadDataError(f"the image is damaged ({error})", file=path, fix=DAMAGED) from error
    return Volume(data, placement(image).affine)


def _open(path: Path, *, whole: bool = False) -> Any:
    """The image; ``whole`` reads all of a .gz at once, so that its checksum is looked at, and
    compares results of the app with their stamp.
    """
    import nibabel as nib

    if not path.exists():
        raise NoInputError(
            "no such image", file=path, fix="check the name, or fetch it (datalad get)"
        )
    if whole:
        with contextlib.suppress(OSError):  # which reading it will tell
            check_intact([path])
    try:
        if path.stat().st_size == 0:
            raise BadDataError("the image is empty: 0 bytes", file=path, fix=_EMPTY)
        if path.name.endswith(".gz"):
            _check_gzip(path)
        image: Any = nib.load(path)
        if whole:
            check_size(path, image)
            image = _read_gz(path) if path.name.endswith(".gz") else image
    except BadDataError:
        raise
    except PermissionError as error:
        raise FileAccessError("no permission to read", file=path, fix="chmod +r") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadDataError(f"the image is damaged ({error})", file=path, fix=DAMAGED) from error
    except Exception as error:  # nibabel raises many kinds for damaged headers
        raise BadDataError("cannot read the image", file=path, fix=DAMAGED) from error
    affine = placement(image).affine
    voxels = np.sqrt((affine[:3, :3] ** 2).sum(0))
    if not np.all(np.isfinite(affine)) or not voxels.all() or _flat(affine[:3, :3] / voxels):
        raise BadDataError(
            "the affine of the image is singular or not finite", file=path, fix=DAMAGED
        )
    return image


def _check_gzip(path: Path) -> None:
    """Raise gzip's own error, which has the reason: nibabel's has none."""
    with gzip.open(path) as content:
        content.read(1)


def _flat(axes: Floats64) -> bool:
    """Whether three axes of length 1 lie in a plane, however small the voxels."""
    return bool(abs(np.linalg.det(axes)) < 1e-9)


def _read_gz(path: Path) -> Any:
    """A gzipped NIfTI image from memory. nibabel stops reading where the voxels end: damage that
    leaves a valid stream would pass, since the checksum comes last.
    """
    import nibabel as nib

    content = gzip.decompress(path.read_bytes())
    kind = nib.Nifti2Image if int.from_bytes(content[:4], "little") in _NIFTI2 else nib.Nifti1Image
    return kind.from_bytes(content)
