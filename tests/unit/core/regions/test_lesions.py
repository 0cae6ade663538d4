"""Relevance in lesions on grids of different voxels."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.core.regions.lesions import filled_part, lesion_share

COARSE = np.diag([2.0, 2.0, 2.0, 1.0])


def _lesions() -> np.ndarray:
    lesions = np.zeros((6, 7, 8), np.uint8)
    lesions[1:3, 1:3, 1:3] = lesions[4, 5, 7] = 1
    return lesions


def test_only_positive_relevance_counts() -> None:
    relevance = np.zeros((6, 7, 8), np.float32)
    relevance[1, 1, 1], relevance[4, 4, 4], relevance[2, 2, 2] = 3, 1, -5
    assert lesion_share(relevance, _lesions()) == pytest.approx(0.75)
    assert np.isnan(lesion_share(-np.abs(relevance), _lesions()))


def test_on_its_own_grid_a_mask_is_itself() -> None:
    found = filled_part(_lesions(), COARSE, (6, 7, 8), COARSE)
    np.testing.assert_array_equal(found, _lesions())
    assert not filled_part(np.zeros((3, 3, 3)), COARSE, (6, 7, 8), COARSE).any()


@pytest.mark.parametrize("times", [2, 3, 5])
def test_finer_masks_fill_parts_of_voxels(times: int) -> None:
    rng = np.random.default_rng(0)
    fine = (rng.random((6 * times, 7 * times, 8 * times)) > 0.7).astype(np.uint8)
    affine = np.diag([2 / times, 2 / times, 2 / times, 1.0])
    affine[:3, 3] = -1 + 1 / times  # the corners of both grids are one
    expected = [
        fine[tuple(slice(n * times, (n + 1) * times) for n in place)].mean()
        for place in np.ndindex(6, 7, 8)
    ]
    found = filled_part(fine, affine, (6, 7, 8), COARSE)
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-6)


def test_orientation_and_offset_of_the_grids_do_not_matter() -> None:
    lesions, flip = _lesions(), np.diag([-1.0, 1.0, 1.0, 1.0])
    flip[0, 3] = 5
    found = filled_part(lesions[::-1], COARSE @ flip, (6, 7, 8), COARSE)
    np.testing.assert_array_equal(found, lesions)
    moved = COARSE.copy()
    moved[:3, 3] = (4, -2, 2)  # the new grid starts 2, -1 and 1 voxels further on
    found = filled_part(lesions, COARSE, (6, 7, 8), moved)
    expected = np.zeros((6, 7, 8))
    expected[:4, 1:, :7] = lesions[2:, :6, 1:]
    np.testing.assert_array_equal(found, expected)


def test_a_coarser_mask_leaves_no_gaps() -> None:
    mask = np.ones((2, 2, 2), np.uint8)
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = 1
    np.testing.assert_array_equal(filled_part(mask, affine, (4, 4, 4), COARSE), 1)


def test_a_mask_elsewhere_fills_nothing() -> None:
    far = COARSE.copy()
    far[:3, 3] = 500
    assert not filled_part(_lesions(), far, (6, 7, 8), COARSE).any()
