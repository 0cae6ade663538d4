"""Grids and network inputs, checked in world coordinates against nibabel and scipy."""

from __future__ import annotations

from itertools import product

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

from bids_xai.core.inputs import centred_grid, covering_shape, network_input, resample_grid
from bids_xai.errors import BadDataError

Array = NDArray[np.float64]

SHAPE = (14, 17, 20)
VOXELS_MM = ((1.0, 1.0, 1.0), (0.9, 0.9, 2.0), (0.9375, 1.3, 1.1))


def grid(voxel_mm: tuple[float, ...], angle: float = 0.0) -> Array:
    """Affine with the given voxels, turned about z, off the origin."""
    c, s = np.cos(angle), np.sin(angle)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag(voxel_mm)
    affine[:3, 3] = (-31.7, 22.3, -11.1)
    return affine


def noise(shape: tuple[int, ...] = SHAPE, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def wave(affine: Array, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A function of the place in the world that linear interpolation gets exactly right."""
    x, y, z = world(affine, shape)
    return np.asarray(200 + 1.5 * x - 0.7 * y + 0.9 * z, np.float32)


def world(affine: Array, shape: tuple[int, ...]) -> Array:
    index = np.indices(shape).reshape(3, -1)
    return np.asarray(affine[:3, :3] @ index + affine[:3, 3:]).reshape(3, *shape)


def centre(affine: Array, shape: tuple[int, ...]) -> Array:
    return np.asarray(affine[:3, :3] @ ((np.array(shape) - 1) / 2) + affine[:3, 3])


@pytest.mark.parametrize("voxel_mm", VOXELS_MM)
def test_the_same_grid_is_the_identity(voxel_mm: tuple[float, ...]) -> None:
    affine, data = grid(voxel_mm, 0.3), noise()
    new = centred_grid(SHAPE, affine, SHAPE, None)
    np.testing.assert_allclose(new, affine, atol=1e-12)
    assert covering_shape(SHAPE, affine, None) == SHAPE
    np.testing.assert_array_equal(resample_grid(data, affine, SHAPE, new), data)


@pytest.mark.parametrize("voxel_mm", [None, 2.5])
@pytest.mark.parametrize("new_shape", [(9, 30, 12), (15, 16, 33)])
def test_a_new_grid_keeps_centre_and_axes(
    new_shape: tuple[int, ...], voxel_mm: float | None
) -> None:
    affine = grid((0.9, 1.2, 2.0), 0.4)
    new = centred_grid(SHAPE, affine, new_shape, voxel_mm)
    off = np.linalg.inv(affine[:3, :3]) @ (centre(new, new_shape) - centre(affine, SHAPE))
    if voxel_mm is None:  # whole voxels: half of one where the parities differ
        odd = (np.array(new_shape) - SHAPE) % 2
        np.testing.assert_allclose(off, -0.5 * odd, atol=1e-10)
    else:
        np.testing.assert_allclose(off, 0, atol=1e-10)
    edges = nib.affines.voxel_sizes(new)
    np.testing.assert_allclose(edges, (0.9, 1.2, 2.0) if voxel_mm is None else [2.5] * 3)
    directions = affine[:3, :3] / nib.affines.voxel_sizes(affine)
    np.testing.assert_allclose(new[:3, :3] / edges, directions, atol=1e-12)
    np.testing.assert_array_equal(new[3], [0, 0, 0, 1])


def test_the_covering_shape_is_just_large_enough() -> None:
    affine = grid((0.9, 1.2, 2.0), 0.4)
    shape = covering_shape(SHAPE, affine, 2.5)
    extent = np.array(SHAPE) * (0.9, 1.2, 2.0)
    assert (np.array(shape) * 2.5 >= extent - 0.01).all()
    assert ((np.array(shape) - 1) * 2.5 < extent).all()
    assert covering_shape((10, 15, 20), grid((1, 1, 1)), 5.0) == (2, 3, 4)
    # an edge that reads 1.0000001 does not cost a voxel
    assert covering_shape((10, 15, 20), grid((1 + 1e-7,) * 3), 5.0) == (2, 3, 4)


@pytest.mark.parametrize("new_shape", [(10, 13, 16), (18, 21, 26), (10, 21, 20), (4, 17, 30)])
def test_crop_and_pad_keep_every_voxel_in_its_place(new_shape: tuple[int, ...]) -> None:
    """All changes are even, so that the centres coincide on whole voxels."""
    data = noise()
    expected = data
    for axis, n in enumerate(new_shape):
        margin = (n - expected.shape[axis]) // 2
        if margin < 0:
            expected = np.take(expected, range(-margin, -margin + n), axis)
        else:
            widths = [(margin, margin) if k == axis else (0, 0) for k in range(3)]
            expected = np.pad(expected, widths)
    affine = grid((0.9, 1.2, 2.0), 0.4)
    new = centred_grid(SHAPE, affine, new_shape, None)
    np.testing.assert_array_equal(resample_grid(data, affine, new_shape, new), expected)


@pytest.mark.parametrize("voxel_mm", [None, 1.0])
def test_voxels_that_keep_their_size_keep_their_values(voxel_mm: float | None) -> None:
    data, affine = noise(), grid((1.0, 1.0, 1.0), 0.4)
    new_shape = tuple(n + 3 for n in SHAPE)
    result = resample_grid(
        data, affine, new_shape, centred_grid(SHAPE, affine, new_shape, voxel_mm)
    )
    np.testing.assert_array_equal(result, np.pad(data, (2, 1)))


def test_a_grid_beside_the_data_is_empty() -> None:
    affine = grid((1, 1, 1))
    far = affine.copy()
    far[0, 3] += 100
    result = resample_grid(noise(), affine, (5, 6, 7), far)
    assert result.shape == (5, 6, 7)
    assert not result.any()


def test_flipped_and_swapped_axes_are_those_of_nibabel() -> None:
    data = noise()
    start = nib.orientations.axcodes2ornt(("R", "A", "S"))
    for voxel_mm, angle, codes in product(VOXELS_MM, (0.0, 0.3), ("LPI", "ARS", "ILA")):
        affine = grid(voxel_mm, angle)
        turn = nib.orientations.ornt_transform(start, nib.orientations.axcodes2ornt(codes))
        expected = nib.apply_orientation(data, turn)
        new = affine @ nib.orientations.inv_ornt_aff(turn, SHAPE)
        result = resample_grid(data, affine, expected.shape, new)
        np.testing.assert_allclose(result, expected, atol=1e-4)


def test_flipped_and_swapped_axes_inside_are_those_of_nibabel() -> None:
    """The same away from the border."""
    data, start = noise(), nib.orientations.axcodes2ornt(("R", "A", "S"))
    for voxel_mm, angle, codes in product(VOXELS_MM, (0.0, 0.3), ("LPI", "ARS", "ILA")):
        affine = grid(voxel_mm, angle)
        turn = nib.orientations.ornt_transform(start, nib.orientations.axcodes2ornt(codes))
        expected = nib.apply_orientation(data, turn)
        new = affine @ nib.orientations.inv_ornt_aff(turn, SHAPE)
        result = resample_grid(data, affine, expected.shape, new)
        inside = (slice(1, -1),) * 3
        np.testing.assert_allclose(result[inside], expected[inside], atol=1e-4)


@pytest.mark.parametrize("voxel_mm", VOXELS_MM)
def test_a_finer_turned_grid_reads_the_same_world(voxel_mm: tuple[float, ...]) -> None:
    affine = grid(voxel_mm)
    new = centred_grid(SHAPE, grid(voxel_mm, 0.2), (13, 15, 21), 0.4)
    new[:3, 3] += centre(affine, SHAPE) - centre(new, (13, 15, 21))
    result = resample_grid(wave(affine, SHAPE), affine, (13, 15, 21), new)
    np.testing.assert_allclose(result, wave(new, (13, 15, 21)), rtol=1e-4)
    interpolate = RegularGridInterpolator([np.arange(n) for n in SHAPE], noise())
    index = nib.affines.apply_affine(
        np.linalg.inv(affine) @ new, np.indices((13, 15, 21)).reshape(3, -1).T
    )
    expected = interpolate(index).reshape(13, 15, 21)
    result = resample_grid(noise(), affine, (13, 15, 21), new)
    np.testing.assert_allclose(result, expected, atol=1e-4)


def blob(affine: Array, shape: tuple[int, ...], at_mm: Array, width_mm: float) -> Array:
    distance = ((world(affine, shape) - at_mm[:, None, None, None]) ** 2).sum(0)
    return np.asarray(np.exp(-distance / (2 * width_mm**2)))


@pytest.mark.parametrize("voxel_mm", [2.0, 3.1])
def test_coarser_voxels_keep_integral_and_place(voxel_mm: float) -> None:
    shape, affine = (40, 46, 36), grid((1.0, 0.9, 1.2), 0.3)
    at_mm = centre(affine, shape) + np.array([2.3, -1.9, 1.1])
    data = blob(affine, shape, at_mm, 4.0)
    new_shape = covering_shape(shape, affine, voxel_mm)
    new = centred_grid(shape, affine, new_shape, voxel_mm)
    result = resample_grid(data, affine, new_shape, new)
    integral = float(result.sum()) * voxel_mm**3
    assert integral == pytest.approx(float(data.sum()) * 1.0 * 0.9 * 1.2, rel=4e-3)
    found = (world(new, new_shape) * result).reshape(3, -1).sum(1) / result.sum()
    np.testing.assert_allclose(found, at_mm, atol=0.02)


def test_coarser_voxels_do_not_alias() -> None:
    shape, affine = (40, 46, 36), grid((1, 1, 1))
    stripes = np.where(np.indices(shape).sum(0) % 2, 1.0, 3.0)
    new_shape = covering_shape(shape, affine, 3.0)
    new = centred_grid(shape, affine, new_shape, 3.0)
    result = resample_grid(stripes, affine, new_shape, new)
    np.testing.assert_allclose(result[3:-3, 3:-3, 3:-3], 2.0, atol=0.05)


def test_smoothing_makes_up_the_difference_in_resolution() -> None:
    """A point becomes √(new² - old²) wide (full width at half maximum) before it is sampled."""
    shape, affine = (41, 43, 45), grid((1, 1, 1))
    point = np.zeros(shape)
    point[20, 21, 22] = 1
    result = resample_grid(point, affine, (21, 43, 45), affine @ np.diag([2.0, 1, 1, 1]))
    profile = result[:, 21, 22]
    sigma = np.sqrt(2**2 - 1) / 2.3548
    expected = np.exp(-(((np.arange(21) - 10) * 2) ** 2) / (2 * sigma**2))
    np.testing.assert_allclose(profile / profile.max(), expected, atol=0.01)
    assert not result[:, 20, 22].any()  # along the other axes nothing is smoothed


def test_smoothing_follows_the_old_axis_that_becomes_coarser() -> None:
    shape, affine = (21, 31, 41), grid((1, 1, 1))
    point = np.zeros(shape)
    point[10, 16, 20] = 1
    turn = np.array([[0, 1, 0, 0], [3.0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    turn[1, 3] = 1  # the new first axis runs along the old second one, in steps of three
    result = resample_grid(point, affine, (10, 21, 41), affine @ turn)
    sigma = np.sqrt(3**2 - 1) / 2.3548
    expected = np.exp(-(((np.arange(10) - 5) * 3) ** 2) / (2 * sigma**2))
    profile = result[:, 10, 20]
    np.testing.assert_allclose(profile / profile.max(), expected, atol=0.01)
    assert not result[:, 9, 20].any()


def test_coarser_voxels_keep_a_constant_up_to_the_border() -> None:
    shape, affine = (20, 22, 24), grid((1, 1, 1))
    new_shape = covering_shape(shape, affine, 3.0)
    new = centred_grid(shape, affine, new_shape, 3.0)
    result = resample_grid(np.ones(shape), affine, new_shape, new)
    np.testing.assert_allclose(result, 1, atol=1e-6)
    larger = tuple(n + 2 for n in new_shape)
    padded = resample_grid(np.ones(shape), affine, larger, centred_grid(shape, affine, larger, 3.0))
    np.testing.assert_array_equal(padded, np.pad(result, 1))


def test_a_turn_does_not_smooth() -> None:
    affine, turned = grid((1, 1, 1)), grid((1, 1, 1), 0.6)
    turned[:3, 3] += centre(affine, SHAPE) - centre(turned, SHAPE)
    interpolate = RegularGridInterpolator(
        [np.arange(n) for n in SHAPE], noise(), bounds_error=False, fill_value=np.nan
    )
    index = nib.affines.apply_affine(
        np.linalg.inv(affine) @ turned, np.indices(SHAPE).reshape(3, -1).T
    )
    expected = interpolate(index).reshape(SHAPE)
    result = resample_grid(noise(), affine, SHAPE, turned)
    known = np.isfinite(expected)
    assert known.mean() > 0.5
    np.testing.assert_allclose(result[known], expected[known], atol=1e-5)


def test_the_input_is_scaled_masked_and_never_negative() -> None:
    data = np.array([80.0, -4.0, np.nan, np.inf, -np.inf, 20.0], np.float32).reshape(1, 2, 3)
    before = data.copy()
    free = network_input(data, None, scale=40.0)
    np.testing.assert_array_equal(free.ravel(), [2, 0, 0, 0, 0, 0.5])
    mask = np.array([0, 1, 1, 1, 1, 255]).reshape(1, 2, 3)
    stripped = network_input(data, mask, scale=40.0)
    np.testing.assert_array_equal(stripped.ravel(), [0, 0, 0, 0, 0, 0.5])
    assert free.dtype == stripped.dtype == np.float32
    np.testing.assert_array_equal(data, before)


def test_a_maximum_is_in_units_of_the_map() -> None:
    data = np.array([-7.0, 30.0, 200.0, 900.0, np.inf, np.nan], np.float32).reshape(1, 2, 3)
    found = network_input(data, None, scale=40.0, maximum=200.0)
    np.testing.assert_array_equal(found.ravel(), [0, 0.75, 5, 5, 0, 0])
    assert found.dtype == np.float32


@pytest.mark.parametrize("scale", [0.0, -40.0, float("nan")])
def test_a_scale_that_is_not_positive_is_refused(scale: float) -> None:
    with pytest.raises(BadDataError, match="scale must be positive"):
        network_input(np.ones((2, 3, 4)), None, scale=scale)
