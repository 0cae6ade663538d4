"""The one way files are written: whole or not at all, and not touched when nothing changed."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_xai.arrays import Floats64
from bids_xai.runtime.atomic import replacing

_GZIP_LEVEL = 1  # of float maps with noise, 5 leaves a half per cent less, in a fourth more time
_SPACES = str.maketrans("\t\n\r", "   ")


def write_bytes(path: Path, content: bytes) -> Path:
    """Write atomically; a file that already holds these bytes keeps its time stamp.

    Raises :class:`CannotCreateError` naming the file where the folder or disk refuses.
    """
    with replacing(path) as temporary:
        if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
            return path
        with temporary.open("xb") as stream:  # unlike tempfile's, with the umask's permissions
            stream.write(content)
    return path


def remove_if_empty(*folders: Path) -> None:
    """Remove the folders, in the order given, that hold nothing."""
    for folder in folders:
        with contextlib.suppress(OSError):  # gone, or in use by another process
            folder.rmdir()


def write_text(path: Path, content: str) -> Path:
    """Write UTF-8 text atomically."""
    return write_bytes(path, content.encode())


def write_json(path: Path, content: Mapping[str, Any]) -> Path:
    """Write a JSON object atomically, keys in the given order."""
    plain = as_json(content)
    text = json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False)
    return write_text(path, text + "\n")


def as_json(value: Any) -> Any:
    """Return plain values as JSON keeps them: lists, and null for what is undefined (NaN)."""
    if isinstance(value, Mapping):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_tsv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> Path:
    """Write a TSV and the JSON beside it that says what each column means.

    rows : one mapping a line; a missing, empty or ``None`` value becomes ``n/a``, numbers get
        nine significant digits (what float32 needs), a line break or tab in a text a space.
    columns : name → description, in the order of the table.
    """
    write_json(path.with_suffix(".json"), column_descriptions(columns))
    return write_text(path, tsv_text(rows, columns))


def tsv_text(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    """Return the text of a TSV; see :func:`write_tsv`."""
    lines = ["\t".join(columns)]
    lines += ["\t".join(_cell(row.get(name)) for name in columns) for row in rows]
    return "\n".join(lines) + "\n"


def column_descriptions(columns: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return the content of the JSON beside a TSV."""
    return {name: {"Description": text} for name, text in columns.items()}


def _cell(value: Any) -> str:
    if value is None:
        return "n/a"
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value)).lower()
    if isinstance(value, (float, np.floating)):
        return "n/a" if not np.isfinite(value) else f"{float(value):.9g}"
    text = str(value).translate(_SPACES) or "n/a"
    if text.startswith('"'):  # readers would take it for the start of a quoted cell
        text = '"' + text.replace('"', '""') + '"'
    return text


def nifti_bytes(data: NDArray[Any], affine: Floats64) -> bytes:
    """Return a gzipped NIfTI-1 file; equal data gives equal bytes."""
    import nibabel as nib

    image = nib.Nifti1Image(data, affine)
    image.set_sform(affine, code=2)
    image.set_qform(affine, code=2)
    image.header.set_xyzt_units("mm")
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=_GZIP_LEVEL, mtime=0) as stream:
        stream.write(image.to_bytes())
    return buffer.getvalue()


def write_nifti(path: Path, data: NDArray[Any], affine: Floats64) -> Path:
    """Write a NIfTI-1 volume atomically; affine maps voxels to mm RAS."""
    return write_bytes(path, nifti_bytes(data, affine))
