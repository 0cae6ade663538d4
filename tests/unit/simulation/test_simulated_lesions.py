"""Lesions: how many, how large, where; and what they do to a head."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bids_xai.simulation import lesions as les
from bids_xai.simulation.anatomy import SHELLS, head_model, sample_head
from bids_xai.simulation.cohort import Participant, SimulationOptions, draw_cohort
from bids_xai.simulation.deformation import SmoothField, interpolate
from bids_xai.simulation.structures import structures

FLAT = SmoothField(np.zeros((1, 3)), np.full(1, np.pi / 2), np.zeros((1, 1)))


def people(effect: float, n: int = 400) -> list[Participant]:
    return draw_cohort(SimulationOptions(n, effect, kind="flair"))


def with_effect(effect: float, n: int = 300) -> list[les.SimulatedLesions]:
    person = people(30, 1)[0]
    made = [dataclasses.replace(person, index=i, effect=effect) for i in range(n)]
    return [les.draw_lesions(each, 0) for each in made]


def spheres_ml(drawn: les.SimulatedLesions) -> float:
    return float(4 / 3 * np.pi * (drawn.radii_mm**3).sum() / 1000)


def test_number_and_size_have_the_means_they_promise() -> None:
    tiny, moderate = with_effect(0.0), with_effect(0.3)
    assert np.mean([len(each.radii_mm) for each in tiny]) == pytest.approx(2, abs=0.3)
    assert np.mean([len(each.radii_mm) for each in moderate]) == pytest.approx(22, abs=1)
    radii = np.concatenate([each.radii_mm for each in tiny])
    assert np.median(radii) == pytest.approx(1.8, rel=0.06)


def test_load_grows_with_the_effect() -> None:
    rest = np.mean([spheres_ml(each) for each in with_effect(0.0)])
    loads = [np.mean([spheres_ml(each) for each in with_effect(e)]) - rest for e in (0.3, 1.2)]
    assert loads[1] / loads[0] == pytest.approx(4, rel=0.15)
    patients, controls = people(30)[0::2], people(30)[1::2]
    most = max(spheres_ml(les.draw_lesions(each, 0)) for each in controls)
    assert most < np.median([spheres_ml(les.draw_lesions(each, 0)) for each in patients])


def test_lesions_lie_in_white_matter_near_the_ventricles() -> None:
    centres = np.concatenate([each.centres_mm for each in with_effect(0.3, 40)]).T
    model, ventricles = head_model(2.0), structures()["ventricles"]
    assert np.mean(interpolate(model.tissues["white"], model.affine, centres) > 0.8) > 0.95
    hollow = ventricles.grid.points()[:, ventricles.proportion.ravel() > 0.5].T
    nearest = [np.linalg.norm(hollow - centre, axis=1).min() for centre in centres.T[::8]]
    assert np.median(nearest) < 10
    assert max(nearest) < 25
    assert abs(np.mean(centres[0] > 0) - 0.5) < 0.1


def test_a_blob_without_wobble_is_a_ball() -> None:
    points = np.random.default_rng(0).uniform(-8, 8, (3, 100_000)).astype("f4")
    ball = les.SimulatedLesions(np.array([[1.0, -1, 0.5]]), np.array([5.0]), FLAT)
    part = ball.part(points)
    distance = np.linalg.norm(points - [[1], [-1], [0.5]], axis=0)
    slow = np.array([min(max(5 - d + 0.5, 0), 1) for d in distance])
    np.testing.assert_allclose(part, slow, atol=1e-4)
    assert part.mean() * 16**3 == pytest.approx(4 / 3 * np.pi * 125, rel=0.03)


def test_the_union_is_the_larger_part_not_the_sum() -> None:
    points = np.zeros((3, 1), "f4")
    twice = les.SimulatedLesions(np.zeros((2, 3)), np.array([5.0, 5]), FLAT)
    assert twice.part(points) == pytest.approx([1])


def test_lesions_replace_white_matter_and_darken_t1w() -> None:
    model = head_model(2.0)
    points = np.array([[-24.0, -24, 0], [-10, -10, -18], [26, 60, 2]], "f4")
    head = sample_head(model, points, np.ones(3), dict.fromkeys(SHELLS, 1.0))
    drawn = les.SimulatedLesions(points[:, :1].T.astype(float), np.array([4.0]), FLAT)
    ill = les.with_lesions(head, points[:, head.where], drawn)
    before, after = head.proportions, ill.proportions
    assert before["white"][0] > 0.8
    assert after["lesion"][0] == pytest.approx(before["white"][0])
    assert after["white"][0] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(after["lesion"][1:], 0)
    np.testing.assert_allclose(sum(after.values()), sum(before.values()), atol=1e-6)
    assert ill.t1w[0] == pytest.approx(head.t1w[0] * (1 - 0.15 * before["white"][0]), rel=1e-5)
    np.testing.assert_array_equal(ill.t1w[1:], head.t1w[1:])
    assert "lesion" not in before
