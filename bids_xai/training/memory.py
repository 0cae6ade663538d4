"""Running out of memory, said in words that help."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bids_xai.errors import BadDataError

_ALLOCATOR = ("can't allocate memory", "not enough memory", "out of memory")


@contextmanager
def saying_memory_is_short(batch_size: int, device: str | torch.device) -> Iterator[None]:
    """Within it, an allocation that failed on CPU or GPU becomes a ``BadDataError``."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _is_shortage(error):
            raise
        raise BadDataError(
            f"There is not enough memory on '{device}' for batches of {batch_size} scans",
            fix="lower batch_size and raise accumulate by the same factor, or make the voxels of "
            "the network's input larger (voxel_mm)",
        ) from error


def _is_shortage(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return any(words in text for words in _ALLOCATOR)
