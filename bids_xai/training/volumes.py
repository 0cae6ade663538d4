"""Training volumes on disk: one ``.npy`` a scan, read one at a time."""

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


@dataclass(frozen=True)
class VolumeFile:
    """A cached scan: ``volume`` (x, y, z) float32, ``mask`` (x, y, z) uint8, and its class."""

    volume: Path
    mask: Path
    label: int


class VolumeFiles:
    """The sequence of scans that ``training.loop.train`` reads, one at a time from disk."""

    def __init__(self, files: Sequence[VolumeFile]) -> None:
        self.files = list(files)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int, /) -> tuple[Tensor, Tensor, int]:
        entry = self.files[index]
        volume = np.load(entry.volume)
        mask = np.load(entry.mask).astype(np.float32)
        return torch.from_numpy(volume)[None], torch.from_numpy(mask)[None], entry.label


def save_array(path: Path, array: NDArray[Any]) -> Path:
    """Write a ``.npy`` file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as stream:
        np.save(stream, array)
    os.replace(temporary, path)
    return path
