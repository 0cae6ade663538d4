"""Perturbation curves of a study: cubes in mm become voxels, drops become lines."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch
from trust_cases import SHAPE, prediction

from bids_xai.core.perturbation import ORDERS, Perturbation
from bids_xai.group.trust import perturbation
from bids_xai.group.trust.heatmaps import ExplainedSplit
from bids_xai.group.trust.network import ExplainedNetwork
from bids_xai.group.trust.perturbation import (
    NOISE_PERCENTILES,
    cube_plan,
    perturbation_steps,
    steps_of,
)
from bids_xai.studies.tables import Quality


def test_cubes_are_given_in_mm() -> None:
    plan = cube_plan(Quality(cube_mm=20.0, stride_mm=0.0), (1.0, 3.0, 50.0))
    assert plan.edge == (20, 7, 1)
    assert plan.stride == plan.edge
    plan = cube_plan(Quality(cube_mm=20.0, stride_mm=4.0, steps=7, cubes_per_step=2), (2, 2, 2))
    assert (plan.edge, plan.stride) == ((10, 10, 10), (2, 2, 2))
    assert (plan.steps, plan.per_step) == (7, 2)


def test_lines_hold_means_over_repetitions_up_to_the_shortest_curve() -> None:
    rng = np.random.default_rng(3)
    curves = {"morf": rng.normal(size=(1, 5)), "random": rng.normal(size=(4, 3))}
    lines = list(steps_of(prediction(), curves))
    assert [(line.order, line.step) for line in lines] == [
        (order, step) for order in ("morf", "random") for step in range(3)
    ]
    for line in lines:
        repetitions = curves[line.order]
        areas = [sum(curve[: line.step + 1]) / (line.step + 1) for curve in repetitions]
        assert line.drop == pytest.approx(np.mean(repetitions[:, line.step]))
        assert line.aopc == pytest.approx(np.mean(areas))
        if line.order == "morf":
            assert line.sd is None  # one repetition
        else:
            centre = sum(areas) / 4
            assert line.sd == pytest.approx((sum((a - centre) ** 2 for a in areas) / 3) ** 0.5)


@pytest.mark.parametrize("at_once", [1, 3, 100])
@pytest.mark.parametrize(
    "quality",
    [
        Quality(cube_mm=8.0, random_orders=3, noise_draws=2),
        Quality(cube_mm=12.0, stride_mm=4.0, placement="greedy", steps=5, random_orders=2),
    ],
)
def test_curves_are_those_of_whole_passes(
    quality: Quality,
    at_once: int,
    network: ExplainedNetwork,
    all_explained: ExplainedSplit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every changed scan through all of the network, one curve after the other."""
    monkeypatch.setattr(perturbation, "COPIES_VOXELS", at_once * np.prod(SHAPE))
    expected = []
    for scan, predictions in all_explained.heatmaps.items():
        opened = network.open(scan)
        volume = opened.volume.data
        low, high = np.percentile(volume[opened.mask.data > 0], NOISE_PERCENTILES)
        slow = Perturbation(
            volume,
            lambda batch: _probabilities(network, batch),
            cube_plan(quality, opened.volume.voxel_mm),
            low=float(low),
            high=float(high),
            seed=(4, zlib.crc32(scan.encode())),
            draws=quality.noise_draws,
        )
        shuffled = slow.at_random(quality.random_orders)[..., 1]
        for row in predictions:
            if row.relevance_class == "NC":
                continue  # about a class that was not predicted
            relevance = network.relevance(row)
            curves = {o: slow.by_relevance(relevance, o)[..., 1] for o in ORDERS[:2]}
            expected += steps_of(row, {**curves, "random": shuffled})
    lines = list(perturbation_steps(network, all_explained, quality, 4))
    names = [(line.scan, line.method, line.order, line.step) for line in lines]
    assert names == [(line.scan, line.method, line.order, line.step) for line in expected]
    for name in ("drop", "aopc", "sd"):
        pairs = [(getattr(a, name), getattr(b, name)) for a, b in zip(lines, expected, strict=True)]
        assert all((a is None) == (b is None) for a, b in pairs)
        values = np.array([pair for pair in pairs if None not in pair])
        np.testing.assert_allclose(values[:, 0], values[:, 1], rtol=0, atol=1e-6)
        assert np.ptp(values) > 1e-4


@torch.no_grad()
def _probabilities(network: ExplainedNetwork, batch: np.ndarray) -> np.ndarray:
    logits = network.model(torch.from_numpy(batch)[:, None])
    probabilities: np.ndarray = logits.double().softmax(dim=1).numpy()
    return probabilities
