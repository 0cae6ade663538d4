"""Smooth fields, interpolation, rigid motion."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.simulation import deformation as d


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_smooth_field_has_the_variance_and_covariance_it_promises() -> None:
    here, there = np.zeros((3, 1), "f4"), np.array([[0], [20], [0]], "f4")
    fields = [d.smooth_field(rng(seed), 1, 20.0) for seed in range(3000)]
    a, b = (np.array([field(point)[0, 0] for field in fields]) for point in (here, there))
    assert a.mean() == pytest.approx(0, abs=0.06)
    assert a.var() == pytest.approx(1, abs=0.08)
    assert np.mean(a * b) == pytest.approx(np.exp(-0.5), abs=0.08)  # one length away


def test_grid_points_are_in_voxel_order() -> None:
    grid = d.Grid(np.diag([2.0, 3, 4, 1]), (3, 4, 5))
    np.testing.assert_allclose(grid.points().reshape(3, 3, 4, 5)[:, 2, 1, 3], (4, 3, 12))


def test_interpolation_is_exact_for_a_linear_function() -> None:
    affine = d.affine_about(d.rotation_matrix(np.array([0, 0.6, 0.8]), 0.3) * 2.5, np.zeros(3), 7.0)
    grid = d.Grid(affine, (7, 9, 8))

    def function(points: np.ndarray) -> np.ndarray:
        return 0.5 * points[0] - 0.2 * points[1] + 0.1 * points[2]

    points = d.transform(affine, rng().uniform(0, 6, (3, 50)))
    found = d.interpolate(function(grid.points()).reshape(grid.shape), affine, points)
    np.testing.assert_allclose(found, function(points), atol=1e-4)


def test_rigid_turns_about_the_centre_and_keeps_distances() -> None:
    centre = np.array([10.0, -20, 30])
    matrix = d.random_rigid(rng(), 5, 3, centre)
    rotation = matrix[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    shift = np.linalg.norm(matrix @ [*centre, 1] - [*centre, 1])
    angle = np.degrees(np.arccos((np.trace(rotation) - 1) / 2))
    assert 0.9 <= shift <= 3
    assert 1.5 <= angle <= 5


def test_rotation_is_right_handed() -> None:
    turned = d.rotation_matrix(np.array([0, 0, 1.0]), np.pi / 2) @ [1, 0, 0]
    np.testing.assert_allclose(turned, (0, 1, 0), atol=1e-12)
