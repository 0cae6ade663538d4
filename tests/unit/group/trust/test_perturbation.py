"""Perturbation curves of a study: cubes in mm become voxels, drops become lines."""

from __future__ import annotations

import numpy as np
import pytest
from trust_cases import prediction

from bids_xai.group.trust.perturbation import cube_plan, steps_of
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
