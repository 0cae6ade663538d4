"""Masks against plain loops, and the brain of a head whose prior sits in the wrong place."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from bids_xai.core import masks
from bids_xai.core.masks import (
    add_rim,
    ball,
    dice,
    dilate,
    erode,
    foreground,
    largest_component,
    refine_brain_mask,
)
from bids_xai.errors import BadDataError

Bools = NDArray[np.bool_]

VOXELS_MM = ((1.0, 1.0, 1.0), (0.7, 1.1, 2.0))
SHAPE = (9, 11, 13)


def blobs(seed: int, share: float = 0.1) -> Bools:
    return np.random.default_rng(seed).random(SHAPE) < share


def slow_dilate(mask: Bools, radius_mm: float, voxel_mm: tuple[float, ...]) -> Bools:
    """Every voxel with a voxel of the mask within the radius."""
    inside = np.argwhere(mask)
    result = np.zeros_like(mask)
    for index in product(*(range(n) for n in mask.shape)):
        distance = np.sqrt((((inside - index) * voxel_mm) ** 2).sum(1))
        result[index] = bool((distance <= radius_mm).any())
    return result


@pytest.mark.parametrize("voxel_mm", VOXELS_MM)
@pytest.mark.parametrize("radius_mm", [0.5, 2.0, 3.05])
def test_ball_holds_what_lies_within_the_radius(
    radius_mm: float, voxel_mm: tuple[float, ...]
) -> None:
    found = ball(radius_mm, voxel_mm)
    centre = (np.array(found.shape) - 1) // 2
    assert all(n % 2 == 1 for n in found.shape)
    for index in product(*(range(n) for n in found.shape)):
        distance = np.sqrt((((np.array(index) - centre) * voxel_mm) ** 2).sum())
        assert found[index] == (distance <= radius_mm + 1e-6)
    reach = [int(radius_mm // v) for v in voxel_mm]
    assert found.shape == tuple(2 * r + 1 for r in reach)


@pytest.mark.parametrize("voxel_mm", VOXELS_MM)
@pytest.mark.parametrize("radius_mm", [1.05, 2.55])
def test_dilate_is_the_slow_version_and_scipy(
    radius_mm: float, voxel_mm: tuple[float, ...]
) -> None:
    mask = blobs(1, 0.02)
    before = mask.copy()
    found = dilate(mask, radius_mm, voxel_mm)
    np.testing.assert_array_equal(found, slow_dilate(mask, radius_mm, voxel_mm))
    np.testing.assert_array_equal(found, ndimage.binary_dilation(mask, ball(radius_mm, voxel_mm)))
    np.testing.assert_array_equal(mask, before)


@pytest.mark.parametrize("radius_mm", [8.0, 20.0, 40.0])
def test_dilate_by_large_balls_is_the_distance_transform(radius_mm: float) -> None:
    """Balls of 197 to 1257 columns are laid, larger ones left to the distance transform itself."""
    mask = np.zeros((50, 45, 43), bool)
    mask[tuple(np.random.default_rng(6).integers(0, 43, (3, 4)))] = True
    expected = ndimage.distance_transform_edt(~mask, sampling=(1.0, 1.0, 1.5)) <= radius_mm
    np.testing.assert_array_equal(dilate(mask, radius_mm, (1.0, 1.0, 1.5)), expected)


@pytest.mark.parametrize("voxel_mm", VOXELS_MM)
@pytest.mark.parametrize("radius_mm", [1.05, 2.55])
def test_erode_takes_what_dilating_the_outside_reaches(
    radius_mm: float, voxel_mm: tuple[float, ...]
) -> None:
    mask = blobs(2, 0.95)
    found = erode(mask, radius_mm, voxel_mm)
    np.testing.assert_array_equal(found, ~slow_dilate(~mask, radius_mm, voxel_mm))
    expected = ndimage.binary_erosion(mask, ball(radius_mm, voxel_mm), border_value=1)
    np.testing.assert_array_equal(found, expected)


def test_empty_masks_stay_empty() -> None:
    nothing = np.zeros(SHAPE, bool)
    assert not dilate(nothing, 3, (1, 1, 1)).any()
    assert not erode(nothing, 3, (1, 1, 1)).any()
    assert not largest_component(nothing).any()


def test_a_mask_without_an_outside_cannot_be_eroded() -> None:
    assert erode(np.ones(SHAPE, bool), 2.0, (1.0, 1.0, 1.0)).all()
    assert dilate(np.ones(SHAPE, bool), 2.0, (1.0, 1.0, 1.0)).all()


@pytest.mark.parametrize("edge_mm", [1.0, 1 + 1e-7, 1 - 1e-7])
def test_a_radius_of_whole_voxels_does_not_hang_on_the_last_digit(edge_mm: float) -> None:
    """Affines come out of float32 headers: 1 mm may read 1.0000001."""
    mask = np.zeros(SHAPE, bool)
    mask[4, 5, 6] = True
    voxel_mm = (edge_mm, edge_mm, edge_mm)
    np.testing.assert_array_equal(dilate(mask, 3.0, voxel_mm), slow_dilate(mask, 3.001, (1, 1, 1)))
    assert not erode(dilate(mask, 3.0, voxel_mm), 3.0, voxel_mm)[4, 5, 9]
    assert erode(np.indices(SHAPE)[2] < 7, 3.0, voxel_mm).sum() == 9 * 11 * 4


def test_largest_component_joins_faces_only() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[1:4, 1:4, 1:4] = True  # 27 voxels
    mask[4:6, 4:6, 4:8] = True  # 16 voxels, touching by a corner
    mask[8, 10, 12] = True
    found = largest_component(mask)
    assert found.sum() == 27
    assert found[1:4, 1:4, 1:4].all()
    bridged = mask.copy()
    bridged[3, 3, 4] = bridged[3, 4, 4] = True  # by faces from one to the other
    assert largest_component(bridged).sum() == 27 + 16 + 2


def test_largest_component_is_the_flood_of_its_first_voxel() -> None:
    mask = blobs(3, 0.35)
    best: set[tuple[int, ...]] = set()
    left = {tuple(int(i) for i in index) for index in np.argwhere(mask)}
    while left:
        edge, component = [left.pop()], set()
        while edge:
            here = edge.pop()
            component.add(here)
            for axis, step in product(range(3), (-1, 1)):
                there = tuple(n + step * (axis == k) for k, n in enumerate(here))
                if there in left:
                    left.remove(there)
                    edge.append(there)
        best = max(best, component, key=len)
    assert {tuple(int(i) for i in index) for index in np.argwhere(largest_component(mask))} == best


def test_dice_counts() -> None:
    a, b = blobs(4, 0.3), blobs(5, 0.5)
    first = {tuple(i) for i in np.argwhere(a)}
    second = {tuple(i) for i in np.argwhere(b)}
    expected = 2 * len(first & second) / (len(first) + len(second))
    assert dice(a, b) == pytest.approx(expected)
    assert dice(a.astype(np.uint8), b * 7.5) == pytest.approx(expected)
    assert dice(a, a) == 1
    assert dice(a, ~a) == 0
    assert np.isnan(dice(np.zeros(SHAPE), np.zeros(SHAPE)))


VOXEL_MM = (1.9, 1.7, 1.5)
HEAD_SHAPE = (50, 58, 66)


def radius(centre_mm: tuple[float, float, float] = (0, 0, 0)) -> NDArray[np.float64]:
    """Distance (mm) from a point given relative to the middle of the grid."""
    middle = (np.array(HEAD_SHAPE) - 1) / 2
    axes = [
        (np.arange(n) - m) * v - c
        for n, m, v, c in zip(HEAD_SHAPE, middle, VOXEL_MM, centre_mm, strict=True)
    ]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return np.asarray(np.sqrt(x**2 + y**2 + z**2))


def head(seed: int = 0) -> tuple[NDArray[np.float64], Bools]:
    """Brain (grey shell around white matter), dark skull, bright scalp, noise; and the brain."""
    r = radius()
    image = np.zeros(HEAD_SHAPE)
    image[r <= 44] = 160.0  # scalp
    image[r <= 39] = 8.0  # skull
    image[r <= 33] = 75.0  # grey matter
    image[r <= 24] = 110.0  # white matter
    image += np.random.default_rng(seed).normal(0, 3, HEAD_SHAPE)
    return image, r <= 33


@pytest.mark.parametrize("shift_mm", [(0, 0, 0), (3.0, 0, 0), (0, -3.0, 0), (1.7, 1.7, 1.7)])
def test_the_brain_is_found_under_a_shifted_prior(shift_mm: tuple[float, float, float]) -> None:
    image, brain = head()
    prior = radius(shift_mm) <= 33
    before = prior.copy()
    found = refine_brain_mask(image, prior, VOXEL_MM)
    assert found.dtype == bool
    assert dice(found, brain) >= 0.97
    assert dice(found, brain) >= dice(prior, brain) - 0.005
    np.testing.assert_array_equal(prior, before)


def test_the_brain_is_whole_and_leaves_the_scalp_alone() -> None:
    image, brain = head()
    image[radius((0, 5, 0)) <= 6] = 5.0  # a ventricle, dark
    found = refine_brain_mask(image, radius((0, 3.0, 0)) <= 33, VOXEL_MM)
    assert dice(found, brain) >= 0.97
    assert found[radius((0, 5, 0)) <= 6].all()
    assert not found[radius() > 39].any()


def test_only_the_neighbourhood_of_the_prior_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is faster, and gives what looking everywhere gives."""
    image, _ = head()
    pad = ((24, 20), (22, 26), (30, 18))
    wide = np.pad(image, pad)
    prior = np.pad(radius((0, 3.0, 0)) <= 33, pad)
    found = refine_brain_mask(wide, prior, VOXEL_MM)
    monkeypatch.setattr(masks, "_box", lambda mask, *_: (slice(None),) * mask.ndim)
    np.testing.assert_array_equal(found, refine_brain_mask(wide, prior, VOXEL_MM))


def fluid_head() -> tuple[NDArray[np.float64], Bools]:
    """The head with 3 mm of fluid (a third as bright as the brain) around the brain."""
    image, brain = head()
    shell = (radius() > 33) & (radius() <= 36)
    image[shell] += 30.0
    return image, brain


def test_the_rim_is_fluid_within_reach() -> None:
    image, brain = fluid_head()
    before = brain.copy()
    found = add_rim(image, brain, VOXEL_MM, 2.0)
    rim = dilate(brain, 2.0, VOXEL_MM) & ~brain & (radius() <= 36)
    assert found[brain].all()
    assert found[rim].mean() > 0.95
    assert not found[~dilate(brain, 2.0, VOXEL_MM)].any()
    assert dice(add_rim(image, brain, VOXEL_MM, 6.0), radius() <= 36) > 0.97
    np.testing.assert_array_equal(add_rim(image, brain, VOXEL_MM, 0.0), brain)
    np.testing.assert_array_equal(brain, before)


def test_bone_is_no_rim() -> None:
    image, brain = head()
    assert add_rim(image, brain, VOXEL_MM, 4.0).sum() < 1.01 * brain.sum()


def test_the_result_does_not_depend_on_the_unit_of_the_image() -> None:
    image, _ = head()
    prior = radius((0, 0, 3.0)) <= 33
    np.testing.assert_array_equal(
        refine_brain_mask(image, prior, VOXEL_MM), refine_brain_mask(image * 137, prior, VOXEL_MM)
    )


def test_a_prior_outside_the_image_is_an_error() -> None:
    image, _ = head()
    with pytest.raises(BadDataError, match="does not overlap") as caught:
        refine_brain_mask(image, np.zeros(HEAD_SHAPE, bool), VOXEL_MM)
    assert "orientation" in str(caught.value)


def test_a_prior_in_the_air_is_an_error() -> None:
    image = np.zeros(HEAD_SHAPE)
    image[:20, :20, :20] = 100
    with pytest.raises(BadDataError, match="does not overlap"):
        refine_brain_mask(image, radius((15, 15, 15)) <= 15, VOXEL_MM)


def test_a_prior_in_noisy_air_is_an_error() -> None:
    image, _ = head()
    image[radius() > 44] += 4.0  # a median above 0, but no tissue
    with pytest.raises(BadDataError, match="does not overlap"):
        refine_brain_mask(image, radius((-47, -49, -49)) <= 16, VOXEL_MM)


def test_the_foreground_is_the_head_without_holes() -> None:
    image, _ = head()
    inside = radius() <= 44
    image[10, 10, 10] = np.nan
    assert dice(foreground(image), inside) > 0.98
    assert foreground(image)[radius() <= 33].all()


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_an_image_without_contrast_has_no_foreground(value: float) -> None:
    with pytest.raises(BadDataError, match="no contrast"):
        foreground(np.full(SHAPE, value))
