"""Training volumes on disk: one ``.npy`` a scan, kept in memory where they fit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
    memory_bytes : where all files together are no larger, each is read once and kept; else all
        are mapped, and read from disk (or the system's cache of it) whenever they are asked for
    """

    def __init__(self, files: Sequence[VolumeFile], *, memory_bytes: int = MEMORY_BYTES) -> None:
        self.files = list(files)
        sizes = (f.stat().st_size for entry in self.files for f in (entry.volume, entry.mask))
        self.in_memory = sum(sizes) <= memory_bytes
        self._arrays: dict[Path, NDArray[Any]] = {}

    @property
    def labels(self) -> list[int]:
        """Class numbers, without a look at the volumes."""
        return [entry.label for entry in self.files]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int, /) -> tuple[Tensor, Tensor, int]:
        entry = self.files[index]
        volume = torch.from_numpy(self._array(entry.volume))
        mask = torch.from_numpy(self._array(entry.mask).astype(np.float32))
        return volume if volume.ndim == 4 else volume[None], mask[None], entry.label

    def _array(self, file: Path) -> NDArray[Any]:
        if not self.in_memory:
            # copy on write: torch warns of arrays that it may not write to, and writes nothing
            mapped: NDArray[Any] = np.load(file, mmap_mode="c")
            return mapped
        if file not in self._arrays:
            self._arrays[file] = np.load(file)
        return self._arrays[file]


def save_array(path: Path, array: NDArray[Any]) -> Path:
    """Write a ``.npy`` file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as stream:
        np.save(stream, array)
    os.replace(temporary, path)
    return path
