"""Hippocampi and ventricles: where they are, and a deformation that takes what it promises."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.simulation import structures as s
from bids_xai.simulation.deformation import (
    CONTROL_MM,
    ControlGrid,
    affine_about,
    interpolate,
    transform,
)
from bids_xai.simulation.scan import deformed, grid_about
from bids_xai.templates import embedded


def centroid(structure: s.Structure, side: int) -> np.ndarray:
    """Centre of mass (mm) of the right (1) or left (-1) half."""
    points = structure.grid.points()
    weights = structure.proportion.ravel() * (points[0] * side > 0)
    return (points * weights).sum(axis=1) / weights.sum()


def test_hippocampi_lie_where_atlases_have_them() -> None:
    found = s.structures()["hippocampus"]
    for side in (-1, 1):
        np.testing.assert_allclose(centroid(found, side), (26 * side, -22, -14), atol=3)
    assert 2.5 < found.proportion.sum() / 2000 < 5  # ml a side


def test_the_long_axis_of_a_hippocampus_rises_backwards() -> None:
    found = s.structures()["hippocampus"]
    points = found.grid.points()
    right = points[:, (found.proportion.ravel() > 0.5) & (points[0] > 0)]
    _, axes = np.linalg.eigh(np.cov(right))
    long = axes[:, -1] * np.sign(axes[1, -1])  # points forwards
    assert long[1] > 0.8
    assert -0.6 < long[2] < -0.2  # and down


def test_ventricles_are_dark_fluid_in_the_middle_and_equal_on_both_sides() -> None:
    found = s.structures()["ventricles"]
    points = found.grid.points()
    image = embedded.brain(1.0)
    t1w = interpolate(np.asarray(image.dataobj), np.array(image.affine), points)
    inside = found.proportion.ravel() > 0.9
    assert inside.sum() > 3000
    assert np.percentile(t1w[inside], 95) < 0.45  # grey matter has 0.6
    ml = [found.proportion.ravel()[points[0] * side > 0].sum() / 1000 for side in (-1, 1)]
    assert ml[0] == pytest.approx(ml[1], rel=0.1)
    assert 8 < sum(ml) < 40
    assert centroid(found, 1)[0] < 20
    hippocampus = s.structures()["hippocampus"].proportion
    assert np.minimum(found.proportion, hippocampus).sum() < 0.02 * hippocampus.sum()


def test_labels_tell_sides_and_structures() -> None:
    places = np.array([[-26.0, 26, -8, 8, 0], [-22, -22, 8, 8, 70], [-16, -16, 16, 16, 70]], "f4")
    assert list(s.label_structures(places)) == [1, 2, 3, 4, 0]
    assert [each.index for each in s.STRUCTURES] == [1, 2, 3, 4]
    assert all(
        each.name.startswith(("Left", "Right")[i % 2]) for i, each in enumerate(s.STRUCTURES)
    )


def still() -> ControlGrid:
    """A head that is the template."""
    extent = np.array([130.0, 150, 116])
    grid = grid_about(np.array([0.7, -11, 1.4]), np.full(3, CONTROL_MM), extent)
    ones = np.ones(grid.shape, "f4")
    return ControlGrid(grid, np.zeros((3, *grid.shape), "f4"), ones, ones)


@pytest.mark.parametrize("effect", [0.1, 0.3, 0.7])
def test_volumes_change_by_the_effect_at_points_drawn_at_random(effect: float) -> None:
    control = deformed(still(), s.atrophy(effect))
    rng = np.random.default_rng(0)
    for name, expected in zip(s.NAMES, (1 - effect, 1 + effect), strict=True):
        found = s.structures()[name]
        place = found.grid.points()[:, found.proportion.ravel() > 0]
        low, high = place.min(axis=1) - 8, place.max(axis=1) + 8
        points = rng.uniform(low, high, (400_000, 3)).T.astype("f4")
        before, after = (
            interpolate(found.proportion, found.grid.affine, each).sum(dtype=float)
            for each in (points, control.to_template(points))
        )
        assert after / before == pytest.approx(expected, abs=0.025), name


def test_nothing_folds_and_far_tissue_stays() -> None:
    control = deformed(still(), s.atrophy(0.7))
    grid = grid_about(np.array([0.0, -11, 1]), np.full(3, 2.0), np.array([110.0, 130, 96]))
    template = control.to_template(grid.points()).reshape(3, *grid.shape)
    jacobian = np.stack([np.stack(np.gradient(each, 2.0)) for each in template])
    determinant = np.linalg.det(np.moveaxis(jacobian, (0, 1), (-2, -1)))
    assert determinant.min() > 0.1
    far = np.array([[0.0, 60, -40], [60, 0, 40], [-30, 60, 0]], "f4")
    np.testing.assert_allclose(s.atrophy(0.7)(far), 0, atol=0.02)
    length = np.linalg.norm(control.displacement_mm, axis=0)
    assert 1 < length.max() < 8
    for end in (0, -1):
        for axis in range(3):
            assert length.take(end, axis).max() < 0.1


def test_no_effect_is_no_displacement() -> None:
    points = s.structures()["ventricles"].grid.points()[:, ::50]
    np.testing.assert_allclose(s.atrophy(0.0)(points), 0, atol=1e-6)


def test_volume_in_a_head_counts_its_size() -> None:
    stretched = affine_about(np.diag([1.1, 0.9, 1.05]), np.zeros(3))
    grid = grid_about(np.zeros(3), np.full(3, 6.0), np.full(3, 240.0))
    moves = transform(np.linalg.inv(stretched), grid.points()) - grid.points()
    ones = np.ones(grid.shape, "f4")
    control = ControlGrid(grid, moves.reshape(3, *grid.shape), ones, ones)
    found = s.volumes_ml(control, s.HEAD_CENTRE_MM)
    for name in s.NAMES:
        template_ml = s.structures()[name].proportion.sum(dtype=float) / 1000
        assert found[name] == pytest.approx(1.1 * 0.9 * 1.05 * template_ml, rel=0.01)
