"""From a sequence of scans to batches on a device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from bids_xai.errors import BadDataError

Change = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]
"""(volume, mask, index of the scan) -> the two as the network is to see them."""


class Scans(Protocol):
    """A sequence of (volume (channels, x, y, z) float32, mask (1, x, y, z) float32, class number).

    A sequence that knows its class numbers without reading volumes has them as ``labels``.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[Tensor, Tensor, int]: ...


def labels_of(data: Scans) -> list[int]:
    """Class numbers of all scans, in their order."""
    labels = getattr(data, "labels", None)
    if labels is not None:
        return [int(label) for label in labels]
    return [int(data[index][2]) for index in range(len(data))]


def batches(
    data: Scans,
    scans: Sequence[int],
    size: int,
    device: str | torch.device,
    *,
    channels_last: bool = False,
    change: Change | None = None,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Volumes (n, channels, x, y, z), masks (n, 1, x, y, z) and labels (n,), n at most ``size``.

    scans : indices into ``data``
    channels_last : memory layout of the volumes
    change : augmentation of each scan
    Raises ``BadDataError`` where volumes or masks of a batch do not share one grid.
    """
    layout = torch.channels_last_3d if channels_last else torch.contiguous_format
    for first in range(0, len(scans), size):
        indices = scans[first : first + size]
        items = [data[index] for index in indices]
        _check_shapes(items)
        labels = torch.tensor([label for _, _, label in items], device=device)
        pairs = [(volume, mask) for volume, mask, _ in items]
        if change is not None:
            pairs = [change(*pair, index) for pair, index in zip(pairs, indices, strict=True)]
        volumes = torch.stack([volume for volume, _ in pairs]).to(device, memory_format=layout)
        masks = torch.stack([mask for _, mask in pairs]).to(device)
        yield volumes, masks, labels


def _check_shapes(items: Sequence[tuple[Tensor, Tensor, int]]) -> None:
    grids = {tuple(tensor.shape[1:]) for volume, mask, _ in items for tensor in (volume, mask)}
    channels = {volume.shape[0] for volume, _, _ in items}
    if len(grids) > 1 or len(channels) > 1:
        shapes = {tuple(tensor.shape) for volume, mask, _ in items for tensor in (volume, mask)}
        raise BadDataError(
            f"Volumes and masks of different shapes occur in one batch: {sorted(shapes)}",
            fix="bring all maps and masks onto one grid",
        )
