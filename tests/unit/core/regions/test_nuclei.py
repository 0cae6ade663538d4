"""The ellipsoids lie where the nuclei lie, and left is left."""

from __future__ import annotations

import numpy as np

from bids_xai.core.regions.nuclei import NUCLEI, Ellipsoid, is_inside, label_points, nuclei_labels

# Centres of gravity in MNI millimetres, right side, rounded from published atlases.
CENTRES_MM = {"caudate": (14, 9, 9), "putamen": (26, 2, 0), "pallidum": (19, -2, -2)}
VOLUMES_MM3 = {"caudate": (3000, 7500), "putamen": (4000, 8500), "pallidum": (1000, 2500)}


def grid() -> tuple[np.ndarray, tuple[int, int, int]]:
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = (-50, -45, -35)
    return affine, (51, 48, 46)


def test_centre_and_volume_of_every_nucleus() -> None:
    affine, shape = grid()
    labels = nuclei_labels(affine, shape)
    assert labels.dtype == np.int16
    assert set(np.unique(labels)) == {0, 1, 2, 3, 4, 5, 6}
    for nucleus in NUCLEI:
        side, name = nucleus.name.split()
        centre = 2 * np.argwhere(labels == nucleus.index).mean(axis=0) + affine[:3, 3]
        expected = np.array(CENTRES_MM[name]) * [-1 if side == "Left" else 1, 1, 1]
        assert np.linalg.norm(centre - expected) < 4, nucleus.name
        low, high = VOLUMES_MM3[name]
        assert low < 8 * np.sum(labels == nucleus.index) < high, nucleus.name


def test_left_mirrors_right() -> None:
    affine, shape = grid()
    labels = nuclei_labels(affine, shape)
    mirrored = labels[::-1]
    np.testing.assert_array_equal(labels[labels % 2 == 1] + 1, mirrored[labels % 2 == 1])


def test_labels_follow_the_affine() -> None:
    affine, shape = grid()
    flipped = affine @ np.diag([-1.0, 1, 1, 1])
    flipped[0, 3] = 50
    np.testing.assert_array_equal(nuclei_labels(flipped, shape), nuclei_labels(affine, shape)[::-1])


def test_labels_of_points_are_labels_of_voxels() -> None:
    affine, shape = grid()
    indices = np.array([[38, 25, 19], [12, 25, 19], [0, 0, 0]])
    expected = nuclei_labels(affine, shape)[tuple(indices.T)]
    np.testing.assert_array_equal(label_points(2 * indices + affine[:3, 3]), expected)
    assert list(expected) == [4, 3, 0]


def test_ellipsoid_is_turned_about_fixed_axes_x_then_y_then_z() -> None:
    # The long axis is x; a turn by 90 deg about x leaves it, about y takes it to -z, about z leaves
    long = Ellipsoid((1, 2, 3), (10, 1, 2), (90, 90, 90))
    tip = np.array([[1, 2, 3 - 9.9], [1, 2, 3 + 9.9]])
    assert is_inside(tip, long).all()
    # the second axis (1 mm): x turns y to z, y turns z to x, z turns x to y
    assert is_inside(np.array([[1, 2.9, 3]]), long).all()
    assert not is_inside(np.array([[1, 3.1, 3]]), long).any()
    # the third (2 mm): x turns z to -y, y leaves it, z turns -y to x
    assert is_inside(np.array([[2.9, 2, 3]]), long).all()
