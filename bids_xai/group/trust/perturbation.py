"""Perturbation curves: how fast the predicted class goes when cubes become noise."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from bids_xai.arrays import Floats64
from bids_xai.core.perturbation import ORDERS, CubePlan, Perturbation, aopc
from bids_xai.errors import naming
from bids_xai.group.trust.scans import (
    SCAN,
    SCAN_COLUMNS,
    Explained,
    Job,
    about,
    explains_its_prediction,
)
from bids_xai.runtime.progress import Progress
from bids_xai.stages.explain import OpenScan
from bids_xai.studies.tables import Quality

AOPC_COLUMNS = SCAN_COLUMNS | {
    "order": "morf: cubes with most relevance first; lerf: with least first; random",
    "step": "Number of steps done (L); 0 is the unchanged scan",
    "aopc": "Mean over steps 0 to L of the fall in probability of the predicted class, mean over "
    "repetitions",
    "sd": "Standard deviation of aopc over repetitions (random orders, draws of noise); n/a for "
    "one",
    "drop": "Fall in probability of the predicted class at this step, mean over repetitions",
    **SCAN,
}
NOISE_PERCENTILES = (1.0, 99.0)
"""Of the input in the brain: noise is drawn uniformly between them."""


def curve_rows(network: Explained, job: Job, quality: Quality, seed: int) -> list[dict[str, Any]]:
    """Curves of all scans of a job, by every method whose map is about the prediction."""
    progress = Progress("scans", len(job.rows))
    rows: list[dict[str, Any]] = []
    for name, mine in job.rows.items():
        with naming(network.scans[name].map_file):
            opened = network.open(name)
            run = _perturbation(network, opened, quality, (seed, zlib.crc32(name.encode())))
        index = network.card.classes.index(mine[0]["predicted_class"])
        shuffled = run.at_random(quality.random_orders)[..., index]
        for row in filter(explains_its_prediction, mine):
            relevance = network.relevance(row)
            curves = {order: run.by_relevance(relevance, order)[..., index] for order in ORDERS[:2]}
            rows += _rows(about(row), curves | {"random": shuffled})
        progress.step()
    return rows


def _perturbation(
    network: Explained, opened: OpenScan, quality: Quality, seed: tuple[int, int]
) -> Perturbation:
    volume, voxel_mm = opened.volume.data, opened.volume.voxel_mm
    low, high = np.percentile(volume[opened.mask.data > 0], NOISE_PERCENTILES)
    plan = CubePlan(
        edge=_voxels(quality.cube_mm, voxel_mm),
        stride=_voxels(quality.stride_mm or quality.cube_mm, voxel_mm),
        placement=quality.placement,
        ordering=quality.ordering,
        steps=quality.steps,
        per_step=quality.cubes_per_step,
    )
    return Perturbation(
        volume,
        network.predict,
        plan,
        low=float(low),
        high=float(high),
        seed=seed,
        draws=quality.noise_draws,
    )


def _voxels(length_mm: float, voxel_mm: tuple[float, ...]) -> tuple[int, int, int]:
    x, y, z = (max(1, round(length_mm / edge)) for edge in voxel_mm)
    return (x, y, z)


def _rows(scan: dict[str, str], curves: dict[str, Floats64]) -> list[dict[str, Any]]:
    """One row an order and step; all orders end with the shortest.

    curves : order → drops (repetitions, steps + 1)
    """
    n_steps = min(curve.shape[1] for curve in curves.values())
    rows = []
    for order, curve in curves.items():
        drops = curve[:, :n_steps]
        areas = aopc(drops)
        spread = areas.std(axis=0, ddof=1) if len(areas) > 1 else [None] * n_steps
        rows += [
            {
                **scan,
                "order": order,
                "step": step,
                "aopc": areas[:, step].mean(),
                "sd": spread[step],
                "drop": drops[:, step].mean(),
            }
            for step in range(n_steps)
        ]
    return rows
