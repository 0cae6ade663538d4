"""Perturbation curves: how fast the predicted class goes when cubes become noise."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from bids_xai.arrays import Floats32, Floats64
from bids_xai.attribution.modes import evaluating
from bids_xai.attribution.reuse.stepped import SteppedForward
from bids_xai.core.answers import Answers, Noise, Replacement
from bids_xai.core.perturbation import ORDERS, CubePlan, Perturbation, aopc
from bids_xai.errors import naming
from bids_xai.group.trust.heatmaps import ExplainedSplit, explains_its_prediction, identity
from bids_xai.group.trust.network import ExplainedNetwork
from bids_xai.runtime.progress import Progress
from bids_xai.stages.explain import OpenScan
from bids_xai.studies.tables import Quality
from bids_xai.tables.predictions import Prediction
from bids_xai.tables.trust import PerturbationStep

NOISE_PERCENTILES = (1.0, 99.0)
"""Of the input in the brain: noise is drawn uniformly between them."""
COPIES_VOXELS = 2**20
"""Voxels of the copies of a scan that are followed side by side; or one copy, if that has more."""
_NO_CUBE = np.empty((0, 3, 2), np.int64)
_BY_RELEVANCE, _AT_RANDOM = ORDERS[:2], ORDERS[2]


def perturbation_steps(
    network: ExplainedNetwork, split: ExplainedSplit, quality: Quality, seed: int
) -> Iterator[PerturbationStep]:
    """Yield the curves of all scans, by every method whose map is about the prediction.

    quality : how large the cubes are, in mm, and how many are replaced
    Raises :class:`BadDataError` naming the scan that has no values in the brain.
    """
    progress = Progress("scans", len(split.heatmaps))
    for scan, predictions in split.heatmaps.items():
        with naming(network.scans[scan].map_file):
            opened = network.open(scan)
            perturbation = _perturbation(
                network, opened, quality, (seed, zlib.crc32(scan.encode()))
            )
        index = network.card.classes.index(predictions[0].predicted_class)
        explaining = list(filter(explains_its_prediction, predictions))
        drops = _drops(perturbation, map(network.relevance, explaining), quality)
        for number, prediction in enumerate(explaining):
            curves = {
                _AT_RANDOM: drops[_AT_RANDOM, 0],
                **{order: drops[order, number] for order in _BY_RELEVANCE},
            }
            yield from steps_of(prediction, {order: curves[order][..., index] for order in ORDERS})
        progress.step()


def _drops(
    perturbation: Perturbation, maps: Iterable[Floats32], quality: Quality
) -> dict[tuple[str, int], Floats64]:
    """Drops along all curves of a scan, by order and number of the map; random ones are shared."""
    curves = {
        (order, number): perturbation.replacements_by(relevance, order)
        for number, relevance in enumerate(maps)
        for order in _BY_RELEVANCE
    }
    at_random = perturbation.replacements_at_random(quality.random_orders)
    return perturbation.drops({(_AT_RANDOM, 0): at_random, **curves})


def cube_plan(quality: Quality, voxel_mm: tuple[float, ...]) -> CubePlan:
    """Return the plan of a study in voxels; ``voxel_mm`` (3,) : edges of a voxel."""
    return CubePlan(
        edge=_voxels(quality.cube_mm, voxel_mm),
        stride=_voxels(quality.stride_mm or quality.cube_mm, voxel_mm),
        placement=quality.placement,
        ordering=quality.ordering,
        steps=quality.steps,
        per_step=quality.cubes_per_step,
    )


def _perturbation(
    network: ExplainedNetwork, opened: OpenScan, quality: Quality, seed: tuple[int, int]
) -> Perturbation:
    volume = opened.volume.data
    low, high = np.percentile(volume[opened.mask.data > 0], NOISE_PERCENTILES)
    plan = cube_plan(quality, opened.volume.voxel_mm)
    return Perturbation(
        volume,
        SteppedAnswers(network.model, volume, plan.edge, network.device),
        plan,
        low=float(low),
        high=float(high),
        seed=seed,
        draws=quality.noise_draws,
    )


class SteppedAnswers(Answers):
    """What a network says along curves, run anew where cubes change; a few curves at a time.

    volume : (x, y, z) float32, what the network sees; edge : of a cube, in voxels
    Keeps feature maps of the volume, and of as many copies as together have
    :data:`COPIES_VOXELS` voxels, or of one: of ``graz`` 11 numbers a voxel.
    """

    def __init__(
        self, model: nn.Module, volume: Floats32, edge: tuple[int, int, int], device: str
    ) -> None:
        self._volume = torch.from_numpy(volume)[None, None].to(device)
        with torch.no_grad(), evaluating(model):
            self._forward = SteppedForward(model, self._volume, edge)
        self.start = _probabilities(self._forward.logits)[0]

    @torch.no_grad()
    def along(self, curves: Sequence[Replacement], noise: Noise) -> list[Floats64]:
        """Return the probabilities (L, n_classes) after every step of each curve."""
        at_once = max(1, COPIES_VOXELS // self._volume.numel())
        answers: list[Floats64] = []
        for first in range(0, len(curves), at_once):
            batch = curves[first : first + at_once]
            drawn = np.stack([noise(curve.draw) for curve in batch])[:, None]
            answers += self._followed(batch, torch.from_numpy(drawn).to(self._volume.device))
        return answers

    def _followed(self, curves: Sequence[Replacement], noise: Tensor) -> list[Floats64]:
        """Probabilities (L, n_classes) along curves, all at once; noise (n, 1, x, y, z)."""
        most = max((len(boxes) for curve in curves for boxes in curve.steps), default=0)
        copies = self._forward.copies(len(curves), most)
        after = []
        for step in range(max(len(curve.steps) for curve in curves)):
            cubes = [curve.steps[step] if step < len(curve.steps) else _NO_CUBE for curve in curves]
            numbers = np.repeat(np.arange(len(curves)), list(map(len, cubes)))
            changed = torch.from_numpy(numbers).to(noise.device)
            boxes = torch.from_numpy(np.concatenate(cubes)).to(noise.device)
            after.append(_probabilities(copies.change(changed, boxes, noise)))
        return [
            np.reshape([rows[copy] for rows in after[: len(curve.steps)]], (-1, len(self.start)))
            for copy, curve in enumerate(curves)
        ]


def _probabilities(logits: Tensor) -> Floats64:
    """Probabilities (n, n_classes)."""
    return np.asarray(logits.double().softmax(dim=1).cpu().numpy())


def _voxels(length_mm: float, voxel_mm: tuple[float, ...]) -> tuple[int, int, int]:
    x, y, z = (max(1, round(length_mm / edge)) for edge in voxel_mm)
    return (x, y, z)


def steps_of(prediction: Prediction, curves: Mapping[str, Floats64]) -> Iterator[PerturbationStep]:
    """Yield one line an order and step; all orders end with the shortest.

    curves : order → drops of the probability (repetitions, steps + 1)
    """
    n_steps = min(curve.shape[1] for curve in curves.values())
    for order, curve in curves.items():
        drops = curve[:, :n_steps]
        areas = aopc(drops)
        spread = areas.std(axis=0, ddof=1) if len(areas) > 1 else None
        for step in range(n_steps):
            yield PerturbationStep(
                **identity(prediction),
                order=order,
                step=step,
                aopc=float(areas[:, step].mean()),
                sd=None if spread is None else float(spread[step]),
                drop=float(drops[:, step].mean()),
            )
