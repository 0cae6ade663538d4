"""Volumes on other grids, checked in world coordinates against nibabel and scipy."""

from __future__ import annotations

from itertools import product

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import RegularGridInterpolator

from bids_xai.core.grids import centred_grid, covering_shape, nearest_on_grid, resample_grid

Array = NDArray[np.float64]

SHAPE = (14, 17, 20)
HUGE = 2**31 - 1
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


# --- nearest neighbour ------------------------------------------------------------------------


def oblique(voxel_mm: float = 2.0, origin: tuple[float, float, float] = (-11, 7, -5)) -> NDArray:
    """An affine turned about two axes, with x flipped."""
    a, b = np.radians([20, -35])
    turn_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = turn_z @ turn_x @ np.diag([-voxel_mm, voxel_mm, voxel_mm])
    affine[:3, 3] = origin
    return affine


def some_labels(seed: int = 0) -> NDArray[np.int32]:
    rng = np.random.default_rng(seed)
    return rng.choice(np.array([0, 0, 3, 300, HUGE], np.int32), size=(6, 7, 8))


def test_nearest_equals_a_loop_over_voxels() -> None:
    labels, affine, target = some_labels(), oblique(), oblique(1.3, (-10.2, 5.1, -3.3))
    target[:3, :3] = target[:3, :3][:, [1, 2, 0]]
    shape = (9, 5, 7)
    found = nearest_on_grid(labels, affine, shape, target)
    expected = np.zeros(shape, np.int32)
    centres = {v: affine @ [*v, 1] for v in np.ndindex(labels.shape)}
    for voxel in np.ndindex(shape):
        world = target @ [*voxel, 1]
        inside = np.linalg.inv(affine) @ world
        if all(-0.5 <= inside[a] < labels.shape[a] - 0.5 for a in range(3)):
            closest = min(centres, key=lambda v: float(((centres[v] - world) ** 2).sum()))
            expected[voxel] = labels[closest]
    assert found.dtype == np.int32
    assert (expected > 0).sum() > 50
    assert (expected == 0).sum() > 50
    np.testing.assert_array_equal(found, expected)


def test_half_a_voxel_apart_every_voxel_is_taken_once() -> None:
    labels = np.arange(1, 9, dtype=np.int32)[:, None, None]
    for noise in (-1e-9, 0.0, 1e-9):  # as affines read from float32 headers have
        target = np.eye(4)
        target[0, 3] = 0.5 + noise
        found = nearest_on_grid(labels, np.eye(4), (8, 1, 1), target)[:, 0, 0]
        assert found.tolist() == [2, 3, 4, 5, 6, 7, 8, 0]


def test_the_same_grid_gives_a_copy() -> None:
    labels = some_labels()
    found = nearest_on_grid(labels, oblique(), labels.shape, oblique())
    np.testing.assert_array_equal(found, labels)
    assert found is not labels


def by_loop(data: NDArray, affine: Array, shape: tuple[int, ...], new_affine: Array) -> NDArray:
    """The value of the voxel that holds a centre, voxel by voxel."""
    result = np.zeros(shape, data.dtype)
    to_old = np.linalg.inv(affine) @ new_affine
    for voxel in np.ndindex(shape):
        position = (to_old @ [*voxel, 1])[:3]
        old = tuple(int(np.floor(x + 0.5 + 1e-6)) for x in position)
        if all(0 <= index < n for index, n in zip(old, data.shape, strict=True)):
            result[voxel] = data[old]
    return result


def finer(factor: int) -> Array:
    """Voxel indices of a grid over the same field of view to those of the coarse one."""
    to_old = np.diag([1 / factor, 1 / factor, 1 / factor, 1.0])
    to_old[:3, 3] = (1 / factor - 1) / 2
    return to_old


def test_a_finer_grid_over_the_same_field_of_view_has_no_empty_rim() -> None:
    labels = np.arange(1, 73, dtype=np.int16).reshape(8, 3, 3)
    affine = grid((2.0, 1.5, 3.0), 0.4)
    result = nearest_on_grid(labels, affine, (16, 6, 6), affine @ finer(2))
    expected = labels.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2)
    assert result.dtype == np.int16
    np.testing.assert_array_equal(result, expected)
    # an interpolation between centres of voxels leaves the outer half voxel empty
    between_centres = ndimage.affine_transform(
        labels.astype(float), finer(2), output_shape=(16, 6, 6), order=0, mode="constant"
    )
    assert (between_centres != expected).sum() == 352
    assert expected.size == 576


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_a_finer_grid_equals_a_loop(factor: int) -> None:
    labels, affine = some_labels(), oblique()
    shape = tuple(factor * n for n in labels.shape)
    result = nearest_on_grid(labels, affine, shape, affine @ finer(factor))
    np.testing.assert_array_equal(result, by_loop(labels, affine, shape, affine @ finer(factor)))
    assert (result > 0).sum() == factor**3 * (labels > 0).sum()


@pytest.mark.parametrize("shift", [(3.0, -2.0, 1.0), (0.3, 0.5, -0.7), (-0.49, 0.51, 2.5)])
def test_a_shifted_grid_equals_a_loop(shift: tuple[float, float, float]) -> None:
    labels, affine = some_labels(), grid((0.9, 1.2, 2.0), 0.4)
    moved = np.eye(4)
    moved[:3, 3] = shift
    result = nearest_on_grid(labels, affine, (7, 9, 8), affine @ moved)
    np.testing.assert_array_equal(result, by_loop(labels, affine, (7, 9, 8), affine @ moved))
    assert (result > 0).sum() > 20


@pytest.mark.parametrize("angle", [0.1, 0.7, 2.0])
def test_a_turned_grid_equals_a_loop(angle: float) -> None:
    labels, affine = some_labels(), grid((1.0, 1.3, 1.1))
    turned = grid((0.8, 0.7, 1.4), angle)
    turned[:3, 3] += centre(affine, labels.shape) - centre(turned, (9, 10, 6))
    result = nearest_on_grid(labels, affine, (9, 10, 6), turned)
    np.testing.assert_array_equal(result, by_loop(labels, affine, (9, 10, 6), turned))
    assert 0 < (result > 0).sum() < result.size


def test_the_field_of_view_ends_half_a_voxel_beyond_the_outer_centres() -> None:
    labels = np.array([5, 6, 7], np.uint8)[:, None, None]
    for x, expected in ((-0.51, 0), (-0.49, 5), (0.0, 5), (2.49, 7), (2.51, 0)):
        target = np.eye(4)
        target[0, 3] = x
        assert nearest_on_grid(labels, np.eye(4), (1, 1, 1), target)[0, 0, 0] == expected


def test_a_mask_stays_a_mask() -> None:
    mask = some_labels() > 0
    result = nearest_on_grid(mask, oblique(), (12, 14, 16), oblique() @ finer(2))
    assert result.dtype == np.bool_
    assert result.sum() == 8 * mask.sum()
