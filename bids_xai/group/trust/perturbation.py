"""Perturbation curves: how fast the predicted class goes when cubes become noise."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping

import numpy as np

from bids_xai.arrays import Floats64
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
        shuffled = perturbation.at_random(quality.random_orders)[..., index]
        for prediction in filter(explains_its_prediction, predictions):
            relevance = network.relevance(prediction)
            curves = {
                order: perturbation.by_relevance(relevance, order)[..., index]
                for order in _BY_RELEVANCE
            }
            yield from steps_of(prediction, curves | {_AT_RANDOM: shuffled})
        progress.step()


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
    return Perturbation(
        volume,
        network.predict,
        cube_plan(quality, opened.volume.voxel_mm),
        low=float(low),
        high=float(high),
        seed=seed,
        draws=quality.noise_draws,
    )


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
