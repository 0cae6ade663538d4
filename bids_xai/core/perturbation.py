r"""Area over the perturbation curve (AOPC): does the output fall where a heatmap says it must?

The volume is cut into cubes. Cubes are replaced by noise one after the other, those with most
relevance first (``morf``), those with least first (``lerf``), or at random; after :math:`L` steps

.. math:: AOPC_L = \frac{1}{L + 1} \left\langle \sum_{k=0}^{L} f(x_0) - f(x_k) \right\rangle

A map that shows what the network uses has its ``morf`` curve above the random one, and its ``lerf``
curve below.

Source: Samek et al. 2017; cubes of brain images as in Boehle et al. 2019.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import ceil
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from bids_xai.arrays import Floats, Floats32, Ints
from bids_xai.core.answers import Answers, Boxes, Curves, Predict, Replacement, WholeVolumes
from bids_xai.errors import BadDataError, UsageError

Key = TypeVar("Key")

PLACEMENTS = ("grid", "greedy")
ORDERINGS = ("sum", "absolute")
ORDERS = ("morf", "lerf", "random")


@dataclass(frozen=True, kw_only=True)
class CubePlan:
    """Which cubes are replaced, and how many.

    edge, stride : of the cubes, and from one to the next, in voxels of each axis
    placement : ``grid`` takes the cubes as they lie; ``greedy`` takes, one after the other, the
        best cube that does not overlap those taken before (so that a small stride makes sense)
    ordering : by the ``sum`` of relevance over a cube, or of its ``absolute`` value
    steps : most steps of a curve (L)
    per_step : cubes replaced a step; 0 spreads a quarter of all cubes over the steps as evenly as
        whole numbers allow (fewer steps where there are fewer cubes to replace)
    """

    edge: tuple[int, int, int]
    stride: tuple[int, int, int]
    placement: str = "grid"
    ordering: str = "sum"
    steps: int = 20
    per_step: int = 1

    def __post_init__(self) -> None:
        if min(*self.edge, *self.stride, self.steps, self.per_step + 1) < 1:
            raise UsageError(
                f"Cubes of {self.edge} voxels every {self.stride} voxels, {self.steps} steps of "
                f"{self.per_step} cannot be",
                fix="give whole numbers of 1 or more (0 or more cubes per step)",
            )
        for name, allowed in ((self.placement, PLACEMENTS), (self.ordering, ORDERINGS)):
            if name not in allowed:
                raise UsageError(f"There is no '{name}'", fix=f"use {' or '.join(allowed)}")


class Perturbation:
    """One volume, to be perturbed in several orders with the same noise.

    volume : (x, y, z) float32, what the network sees
    predict : probabilities (n, n_classes) of volumes (n, x, y, z), or a network's answers to
        changes of this volume
    low, high : noise is drawn uniformly between them, at every voxel of a replaced cube
    seed : of noise and random orders; draws : repetitions with other noise
    ``start`` (n_classes,) are the probabilities of the unchanged volume.

    Cubes without any value but 0 are never replaced: there is nothing to take away. Raises
    ``BadDataError`` for a volume without values and noise without a range.
    """

    def __init__(
        self,
        volume: Floats32,
        predict: Predict | Answers,
        plan: CubePlan,
        *,
        low: float,
        high: float,
        seed: int | Sequence[int] = 0,
        draws: int = 1,
    ) -> None:
        if not low < high:
            raise BadDataError(
                f"Noise between {low:g} and {high:g} changes nothing",
                fix="check the map; it may have only one value",
            )
        self.volume, self.plan, self.draws = volume, plan, draws
        self._low, self._high = low, high
        self._key = [seed] if isinstance(seed, int) else list(seed)
        self.boxes = self._boxes(plan.stride)
        if not len(self.boxes):
            raise BadDataError("The volume is empty", fix="check the map")
        self.sizes = self._sizes()
        self.answers = predict if isinstance(predict, Answers) else WholeVolumes(volume, predict)
        self.start = self.answers.start
        self._drawn: dict[int, Floats32] = {}

    def by_relevance(self, relevance: Floats, order: str) -> Curves:
        """Drops (draws, L + 1, n_classes) of the probabilities along ``morf`` or ``lerf``.

        L is smaller than asked for where there are fewer cubes. Raises as
        :meth:`replacements_by` does.
        """
        return self.drops({order: self.replacements_by(relevance, order)})[order]

    def at_random(self, orders: int) -> Curves:
        """Drops (orders, L + 1, n_classes) along random orders; the noise draws take turns."""
        return self.drops({"random": self.replacements_at_random(orders)})["random"]

    def replacements_by(self, relevance: Floats, order: str) -> list[Replacement]:
        """Return the curve ``morf`` or ``lerf``, once with every draw of noise.

        relevance : (x, y, z), finite
        Raises ``BadDataError`` for a map of another shape or with undefined voxels.
        """
        if relevance.shape != self.volume.shape or not np.isfinite(relevance).all():
            raise BadDataError(
                "The relevance map has undefined voxels or another shape than the volume",
                fix="compute it again",
            )
        values = np.abs(relevance) if self.plan.ordering == "absolute" else relevance
        sums = box_sums(values, self.boxes)
        steps = self._steps(np.argsort(-sums if order == "morf" else sums, kind="stable"))
        return [Replacement(steps, draw) for draw in range(self.draws)]

    def replacements_at_random(self, orders: int) -> list[Replacement]:
        """Return curves of random order; the noise draws take turns."""
        curves = []
        for number in range(orders):
            shuffled = np.random.default_rng([*self._key, 1, number]).permutation(len(self.boxes))
            curves.append(Replacement(self._steps(shuffled), number % self.draws))
        return curves

    def drops(self, curves: Mapping[Key, Sequence[Replacement]]) -> dict[Key, Curves]:
        """Return ``f(x_0) - f(x_k)`` (n, L + 1, n_classes) for k = 0 … L of sets of n curves.

        All are followed together. The curves of a set end with its shortest.
        """
        every_curve = [curve for sets in curves.values() for curve in sets]
        after = iter(self.answers.along(every_curve, self._noise))
        return {key: self._together(list(islice(after, len(sets)))) for key, sets in curves.items()}

    def _together(self, answers: Sequence[Curves]) -> Curves:
        """Drops (n, L + 1, n_classes) from the probabilities (L, n_classes) of n curves."""
        n_steps = min(map(len, answers))
        after = np.stack([curve[:n_steps] for curve in answers])
        return np.concatenate([np.zeros_like(after[:, :1]), self.start - after], axis=1)

    def _noise(self, draw: int) -> Floats32:
        """The noise of a draw, the last one kept: the curves of a draw share it."""
        if draw not in self._drawn:
            generator = np.random.default_rng([*self._key, 0, draw])
            drawn = generator.uniform(self._low, self._high, self.volume.shape)
            self._drawn = {draw: drawn.astype(np.float32)}
        return self._drawn[draw]

    def _boxes(self, stride: tuple[int, int, int]) -> Boxes:
        """The cubes at every stride that hold anything but 0."""
        boxes = cube_boxes(self.volume.shape, self.plan.edge, stride)
        return boxes[box_sums(self.volume != 0, boxes) > 0.5]

    def _sizes(self) -> list[int]:
        """Cubes replaced in every step (L,); see :class:`CubePlan`."""
        if self.plan.per_step:
            return [self.plan.per_step] * self.plan.steps
        quarter = ceil(len(self._boxes(self.plan.edge)) / 4)
        steps = min(self.plan.steps, quarter)
        return [quarter * (k + 1) // steps - quarter * k // steps for k in range(steps)]

    def _steps(self, order: npt.NDArray[np.intp]) -> list[Boxes]:
        """The boxes that are replaced, in order, one array a step; whole steps alone."""
        n_boxes = sum(self.sizes)
        boxes = self.boxes[order]
        boxes = _apart(boxes, n_boxes) if self.plan.placement == "greedy" else boxes[:n_boxes]
        ends = np.cumsum(self.sizes)
        return np.split(boxes, ends[ends <= len(boxes)])[:-1]


def aopc(drops: Curves) -> Curves:
    """``AOPC_L`` for L = 0, 1, …: mean of the first L + 1 drops, along the last axis."""
    means: Curves = np.cumsum(drops, axis=-1) / np.arange(1, drops.shape[-1] + 1)
    return means


FEWEST = 5
"""Participants from which an interval is given."""


def mean_interval(values: Floats) -> tuple[Curves, Curves, Curves]:
    """Mean over the first axis and both ends of its 95 % interval by Student's t.

    values : (n, ...), one line a participant; below :data:`FEWEST` of them the ends are NaN
    A bootstrap of so few participants as are explained here would give too narrow an interval: of
    six, its lower end lies above a true mean of 0 three times as often as it should.
    """
    n = len(values)
    mean = np.asarray(values.mean(axis=0), np.float64)
    if n < FEWEST:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    half = stdtrit(n - 1, 0.975) * values.std(axis=0, ddof=1) / np.sqrt(n)
    return mean, np.asarray(mean - half), np.asarray(mean + half)


def cube_boxes(
    shape: tuple[int, ...], edge: tuple[int, int, int], stride: tuple[int, int, int]
) -> Boxes:
    """First voxel and the one after the last (n, 3, 2) of cubes that start at every stride.

    They go on until they cover the axis; the last one is cut where the volume ends.
    """
    axes = []
    for n, size, step in zip(shape, edge, stride, strict=True):
        first = np.arange(0, min(max(n - size, 0) + step, n), step)
        axes.append(np.stack([first, np.minimum(first + size, n)], axis=1))
    indices = np.meshgrid(*(np.arange(len(axis)) for axis in axes), indexing="ij")
    boxes = [axis[index.ravel()] for axis, index in zip(axes, indices, strict=True)]
    return np.stack(boxes, axis=1).astype(np.int64)


def box_sums(values: npt.NDArray[Any], boxes: Boxes) -> Curves:
    """Sum of ``values`` (x, y, z) over each of ``boxes`` (n, 3, 2), by a table of partial sums."""
    table = np.pad(values.astype(np.float64), ((1, 0),) * 3)
    for axis in range(3):
        np.cumsum(table, axis=axis, out=table)
    total = np.zeros(len(boxes))
    for corner in np.ndindex(2, 2, 2):
        sign = -1.0 if sum(corner) % 2 == 0 else 1.0
        x, y, z = (boxes[:, axis, side] for axis, side in enumerate(corner))
        total += sign * table[x, y, z]
    return total


def _apart(boxes: Boxes, n_boxes: int) -> Boxes:
    """The first ``n_boxes`` boxes that do not overlap any before them."""
    taken: list[Ints] = []
    for box in boxes:
        if len(taken) == n_boxes:
            break
        if taken:
            others = np.stack(taken)
            apart = (others[:, :, 0] >= box[:, 1]) | (others[:, :, 1] <= box[:, 0])
            if not apart.any(axis=1).all():
                continue
        taken.append(box)
    return np.stack(taken)
