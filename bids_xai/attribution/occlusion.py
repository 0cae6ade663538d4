"""Methods that cover a part of the input and see what that does to the probability of a class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from bids_xai.attribution.local_forward import Box, LocalForward, box_slices
from bids_xai.attribution.start import class_score
from bids_xai.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def occlusion(
    model: nn.Module,
    volumes: Tensor,
    target: int = 1,
    *,
    start: str = "probability",
    size: int | Sequence[int] = 40,
    stride: int | Sequence[int] = 20,
    value: float = 0.0,
    mask: Tensor | NDArray[Any] | None = None,
    batch: int = 8,
) -> Tensor:
    """Probability of ``target`` less that with a cube covered, mean over the cubes over a voxel.

    Signed; sums to nothing known. Defaults: a cube of 40 voxels of value 0 (Rieke et al. 2018).

    size, stride : voxels, one number or one an axis. Cubes start at 0, stride, 2 stride, ... until
        the end of the axis is covered; the last ones are cut off there. A cube larger than an axis
        covers it.
    value : what the voxels of a cube are set to, in all channels
    mask : (x, y, z), cubes without a voxel of it are taken to make no difference
    batch : cubes whose dense layers are run together; only speed and memory depend on it
    Cubes in which every voxel already is ``value`` make no difference and are not run. Of the
    others only the part of the network that the cube reaches is run anew.
    Raises ``UsageError`` for sizes that leave gaps, and for a mask of another shape.
    """
    if batch < 1:
        raise UsageError(f"batch {batch} is invalid", fix="give a whole number of 1 or more")
    shape = volumes.shape[2:]
    cubes = _cubes(shape, _three("size", size), _three("stride", stride))
    covering = _Covering(model, volumes, start, target, value, mask)
    total, covered = torch.zeros_like(volumes[:, :1]), torch.zeros_like(volumes[:1, :1])
    for cube in cubes:
        covered[box_slices(cube)] += 1
    for position, difference in covering.differences(cubes, batch):
        total[box_slices(cubes[position])] += difference.reshape(-1, 1, 1, 1, 1)
    return (total / covered).expand_as(volumes).clone()


def area_occlusion(
    model: nn.Module,
    volumes: Tensor,
    target: int = 1,
    *,
    start: str = "probability",
    atlas: Tensor | NDArray[Any] | None = None,
    value: float = 0.0,
    batch: int = 8,
) -> Tensor:
    """Probability of ``target`` less that with one region covered, written to the region.

    atlas : (x, y, z) whole numbers on the grid of the volumes; 0 is no region and gets 0
    value, batch : as in :func:`occlusion`
    Signed; sums to nothing known. Source: Rieke et al. 2018 (AAL atlas). Raises ``UsageError``
    without an atlas, and for one of another shape or with labels that are no whole numbers.
    """
    if atlas is None:
        raise UsageError("area-occlusion needs an atlas", fix="give labels on the volumes' grid")
    labels = _as_labels(atlas, volumes)
    present = [int(label) for label in torch.unique(labels).tolist() if label != 0]
    boxes = [_bounding_box(labels == label) for label in present]
    regions = [
        labels[box_slices(box)[2:]] == label for label, box in zip(present, boxes, strict=True)
    ]
    covering = _Covering(model, volumes, start, target, value, None)
    result = torch.zeros_like(volumes[:, :1])
    for position, difference in covering.differences(boxes, batch, regions):
        inside = regions[position]
        result[box_slices(boxes[position])] += difference.reshape(-1, 1, 1, 1, 1) * inside
    return result.expand_as(volumes).clone()


class _Covering:
    """What covering a part of ``volumes`` takes away from the score of a class."""

    def __init__(
        self,
        model: nn.Module,
        volumes: Tensor,
        start: str,
        target: int,
        value: float,
        mask: Tensor | NDArray[Any] | None,
    ) -> None:
        self.volumes, self.value = volumes, value
        self.start, self.target = start, target
        self.changes = (volumes != value).any(dim=1)  # (n, x, y, z): covering makes a difference
        self.mask = None if mask is None else _on_grid(mask, "mask", volumes) != 0
        with torch.no_grad():
            self.forward = LocalForward(model, volumes)
            self.score = class_score(self.forward.logits, start, target)

    @torch.no_grad()
    def differences(
        self, boxes: Sequence[Box], batch: int, regions: Sequence[Tensor] | None = None
    ) -> Iterator[tuple[int, Tensor]]:
        """Position of a box and its differences (n,), for all boxes with one that is not 0.

        regions : which voxels of each box are covered; all of them if not given
        """
        insides: Sequence[Tensor | None] = regions or [None] * len(boxes)
        changed = [self._changed(*pair) for pair in zip(boxes, insides, strict=True)]
        todo = [position for position, any_of in enumerate(changed) if bool(any_of.any())]
        for first in range(0, len(todo), batch):
            chunk = todo[first : first + batch]
            logits = self.forward.logits_with(
                [(boxes[i], self._patch(boxes[i], insides[i])) for i in chunk]
            )
            for position, these in zip(chunk, logits, strict=True):
                difference = self.score - class_score(these, self.start, self.target)
                yield position, torch.where(changed[position], difference, 0.0)

    def _changed(self, box: Box, inside: Tensor | None) -> Tensor:
        """Volumes (n,) in which covering makes a difference that counts."""
        changes = self.changes[:, None][box_slices(box)]
        changed = (changes if inside is None else changes & inside).flatten(1).any(dim=1)
        if self.mask is None:
            return changed
        return changed & self.mask[None, None][box_slices(box)].any()

    def _patch(self, box: Box, inside: Tensor | None) -> Tensor:
        """The covered part (n, channels, *box)."""
        patch = self.volumes[box_slices(box)]
        if inside is None:
            return torch.full_like(patch, self.value)
        return torch.where(inside, self.value, patch)


def _cubes(shape: Sequence[int], size: Sequence[int], stride: Sequence[int]) -> list[Box]:
    """Cubes that cover the whole volume, the last ones cut off at its end."""
    axes = []
    for n, given, step in zip(shape, size, stride, strict=True):
        width = min(given, n)
        if step > width and width < n:
            raise UsageError(
                f"Cubes of {given} voxels every {step} leave gaps", fix="give a smaller stride"
            )
        starts = range(0, n - width + step, step)
        axes.append([(first, min(first + width, n)) for first in starts])
    return list(product(*axes))


def _bounding_box(inside: Tensor) -> Box:
    """The smallest box around the voxels of a region (x, y, z) that has some."""
    where = inside.nonzero()
    lowest, highest = where.amin(dim=0).tolist(), where.amax(dim=0).tolist()
    return tuple((low, high + 1) for low, high in zip(lowest, highest, strict=True))


def _as_labels(atlas: Tensor | NDArray[Any], volumes: Tensor) -> Tensor:
    """The atlas (x, y, z) as whole numbers."""
    given = _on_grid(atlas, "atlas", volumes)
    labels = given.long()
    if given.is_floating_point() and not bool((labels == given).all()):
        raise UsageError("The atlas contains labels that are not whole numbers", fix="give labels")
    return labels


def _on_grid(given: Tensor | NDArray[Any], name: str, volumes: Tensor) -> Tensor:
    """An array (x, y, z) on the grid and device of the volumes; small whole numbers kept exact."""
    if not isinstance(given, Tensor):
        plain = given.astype("int64") if given.dtype.kind in "iub" else given.astype("float64")
        given = torch.from_numpy(plain)
    if given.shape != volumes.shape[2:]:
        raise UsageError(
            f"The {name} has shape {tuple(given.shape)}, the volumes {tuple(volumes.shape[2:])}",
            fix=f"bring the {name} onto the grid of the volumes",
        )
    return given.to(volumes.device)


def _three(name: str, given: int | Sequence[int]) -> list[int]:
    """One whole number an axis."""
    values = list(given) if isinstance(given, Sequence) else [given] * 3
    if len(values) != 3 or any(not isinstance(v, int) or v < 1 for v in values):
        raise UsageError(
            f"{name} {given} is invalid", fix="give a whole number of voxels, or one per axis"
        )
    return values
