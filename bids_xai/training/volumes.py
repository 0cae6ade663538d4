"""Training volumes on disk: one ``.npy`` a scan, as many kept in memory as fit."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numpy.typing import NDArray
from torch import Tensor

from bids_xai.bids.files import write_bytes
from bids_xai.errors import BadDataError

MEMORY_BYTES = 2**30


@dataclass(frozen=True)
class VolumeFile:
    """A cached scan, and its class.

    volume : (x, y, z) or (channels, x, y, z) float32; mask : (x, y, z) uint8
    """

    volume: Path
    mask: Path
    label: int


class VolumeFiles:
    """The sequence of scans that ``training.loop.train`` reads.

    files : the scans
    memory_bytes : what is kept in memory at most: the first files that are asked for, each read
        once. The others are mapped, and read from disk (or the system's cache of it) whenever they
        are asked for. Nothing is put out for another: in an order that is new in every epoch, no
        choice of files is asked for more often
    """

    def __init__(self, files: Sequence[VolumeFile], *, memory_bytes: int = MEMORY_BYTES) -> None:
        self.files = list(files)
        self.memory_bytes = memory_bytes
        self._arrays: dict[Path, NDArray[Any]] = {}

    @property
    def labels(self) -> list[int]:
        """Class numbers, without a look at the volumes."""
        return [entry.label for entry in self.files]

    @property
    def bytes_in_memory(self) -> int:
        """How much is kept."""
        return sum(array.nbytes for array in self._arrays.values())

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int, /) -> tuple[Tensor, Tensor, int]:
        entry = self.files[index]
        volume = torch.from_numpy(self._array(entry.volume))
        mask = torch.from_numpy(self._array(entry.mask).astype(np.float32))
        return volume if volume.ndim == 4 else volume[None], mask[None], entry.label

    def _array(self, file: Path) -> NDArray[Any]:
        if file in self._arrays:
            return self._arrays[file]
        try:
            # copy on write: torch warns of arrays that it may not write to, and writes nothing
            mapped: NDArray[Any] = np.load(file, mmap_mode="c")
        except (OSError, ValueError) as error:
            raise BadDataError(
                "a training volume is gone or damaged",
                file=file,
                fix="start the same command again, it makes the volume again and goes on",
            ) from error
        if self.bytes_in_memory + mapped.nbytes > self.memory_bytes:
            return mapped
        self._arrays[file] = np.array(mapped)
        return self._arrays[file]


def save_array(path: Path, array: NDArray[Any]) -> Path:
    """Write a ``.npy`` file atomically, in C order.

    Raises ``CannotCreateError`` where disk or folder refuse.
    """
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(array))
    return write_bytes(path, stream.getvalue())


def is_whole(path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike) -> bool:
    """Whether a ``.npy`` file is there, of this shape and type, and has all its bytes."""
    try:
        with path.open("rb") as stream:
            np.lib.format.read_magic(stream)  # type: ignore[no-untyped-call]
            header = np.lib.format.read_array_header_1_0(stream)  # type: ignore[no-untyped-call]
            n_bytes = stream.tell() + math.prod(shape) * np.dtype(dtype).itemsize
    except (OSError, ValueError):
        return False
    return header == (shape, False, np.dtype(dtype)) and path.stat().st_size == n_bytes
