"""What a training takes of memory, before anything is built."""

from __future__ import annotations

from dataclasses import dataclass

from bids_xai.errors import BadDataError
from bids_xai.models.size import network_size, step_bytes
from bids_xai.studies.tables import Study

_BEYOND = 3.0
"""A step of one scan that needs so many times what is free is not begun: the estimate is rough."""


@dataclass(frozen=True)
class TrainingSize:
    """Of a configuration's network on its grid.

    shape : voxels; weights, values : see :func:`bids_xai.models.size.network_size`
    """

    shape: tuple[int, int, int]
    weights: int
    values: int
    guided: bool

    def step_bytes(self, scans: int) -> float:
        """Memory of a step with so many scans at once, about."""
        return step_bytes(self.weights, self.values, scans, guided=self.guided)


def training_size(study: Study, shape: tuple[int, int, int], *, guided: bool) -> TrainingSize:
    """Return the size of a training; nothing is computed, and no memory is taken.

    study : as the configuration sees it
    Raises :class:`UsageError` for a network that cannot be built on this grid.
    """
    n_classes = len(study.target.names)
    weights, values = network_size(
        study.model.architecture, shape, n_classes, **study.model.options
    )
    return TrainingSize(shape, weights, values, guided)


def check_memory(size: TrainingSize, free: int | None, title: str) -> None:
    """Raise :class:`BadDataError` for a training of which not even one scan fits into memory.

    free : bytes, None where they are not known; title : of the training
    """
    needed = size.step_bytes(1)
    if free is None or needed <= _BEYOND * free:
        return
    grid = " x ".join(map(str, size.shape))
    raise BadDataError(
        f"training {title} needs about {needed / 1e9:,.1f} GB for one scan of {grid} voxels; "
        f"{free / 1e9:,.1f} GB are free",
        fix="set a larger input.voxel_mm in the study file, or take a machine with more memory",
    )
