"""The head model: proportions add up and the shells come in order."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.simulation import anatomy

EVEN = dict.fromkeys(anatomy.SHELLS, 1.0)


def sample(points: np.ndarray, thickness: float = 1.0) -> anatomy.HeadSample:
    model = anatomy.head_model(2.0)
    return anatomy.sample_head(model, points, np.full(points.shape[1], thickness), EVEN)


def test_proportions_are_one_in_the_head_and_zero_in_air() -> None:
    points = np.random.default_rng(0).uniform(-70, 70, (3, 20_000)).astype("f4")
    head = sample(points)
    parts = np.stack(list(head.proportions.values()))
    assert parts.min() > -1e-6
    total = parts.sum(axis=0)
    assert total.max() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(total[head.brain > 0], 1, atol=1e-5)
    inner = sum(head.proportions[name] for name in anatomy.BRAIN_TISSUES)
    assert (inner >= head.brain - 1e-5).all()


def test_shells_come_in_order_from_the_vertex_outwards() -> None:
    z_mm = np.arange(60, 110, 0.25, dtype="f4")
    head = sample(np.stack([np.full_like(z_mm, 30), np.full_like(z_mm, -18), z_mm]))
    heights = [
        np.average(z_mm[head.where], weights=head.proportions[name] * (head.brain == 0))
        for name in anatomy.SHELLS
    ]
    assert heights == sorted(heights)
    air = sum(head.proportions.values())[-1]
    assert air == 0
    assert head.t1w[-1] == 0


def test_thicker_shells_reach_further() -> None:
    z_mm = np.arange(60, 115, 0.25, dtype="f4")
    line = np.stack([np.full_like(z_mm, 30), np.full_like(z_mm, -18), z_mm])
    bone = [sample(line, factor).proportions["skull"].sum() for factor in (1.0, 1.3)]
    assert bone[1] == pytest.approx(1.3 * bone[0], rel=0.1)


def test_the_middle_of_a_nucleus_is_that_nucleus() -> None:
    head = sample(np.array([[26.0, -19], [4, -2], [1, -2]], "f4"))
    assert head.proportions["putamen"][0] > 0.95
    assert head.proportions["pallidum"][1] > 0.95
