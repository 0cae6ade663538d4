"""Filling lesions: the truth of a constructed brain, and an independent threshold."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bids_xai.core.lesions import brightest_of_three, fill_lesions

VOXEL = (1.0, 1.5, 2.0)


def brain_image(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A brain with CSF 200, grey 600, white matter rising from 900 to 1100 along x."""
    rng = np.random.default_rng(seed)
    shape = (48, 40, 30)
    image = np.zeros(shape, np.float32)
    brain = np.zeros(shape, bool)
    brain[4:44, 4:36, 4:26] = True
    image[brain] = 200
    image[6:42, 6:34, 6:24] = 600
    white = np.linspace(900, 1100, shape[0])[:, None, None] * np.ones(shape)
    image[9:39, 9:31, 8:22] = white[9:39, 9:31, 8:22]
    image += rng.normal(0, 5, shape).astype(np.float32) * brain
    return image, brain, white


def test_lesions_take_the_intensity_of_the_white_matter_around_them() -> None:
    image, brain, white = brain_image()
    lesions = np.zeros_like(brain)
    lesions[12:16, 14:18, 12:15] = True
    lesions[30:34, 20:24, 12:15] = True
    damaged = image.copy()
    damaged[lesions] = 500
    filled = fill_lesions(damaged, lesions, brain, VOXEL)
    assert np.abs(filled.data[lesions] - white[lesions]).max() < 40  # of a gradient of 200
    assert filled.data[12:16][lesions[12:16]].mean() < filled.data[30:34][lesions[30:34]].mean()
    np.testing.assert_array_equal(filled.data[~lesions], damaged[~lesions])
    assert filled.n_filled == lesions.sum()
    assert filled.volume_ml == pytest.approx(lesions.sum() * 3.0 / 1000, abs=1e-3)
    assert damaged[lesions].max() == 500  # the input stays


def test_nothing_is_filled_without_lesions_or_outside_the_brain() -> None:
    image, brain, _ = brain_image()
    outside = np.zeros_like(brain)
    outside[0:2, 0:2, 0:2] = True
    for lesions in (np.zeros_like(brain), outside):
        filled = fill_lesions(image, lesions, brain, VOXEL)
        np.testing.assert_array_equal(filled.data, image)
        assert filled.n_filled == 0


def test_the_rim_of_a_lesion_does_not_count() -> None:
    image, brain, _ = brain_image()
    lesions = np.zeros_like(brain)
    lesions[20:24, 16:20, 12:15] = True
    rim = np.zeros_like(brain)
    rim[19:25, 16:20, 12:15] = True
    rim &= ~lesions
    marked = image.copy()
    marked[rim] = 5000
    plain = fill_lesions(image, lesions, brain, VOXEL).data[lesions]
    np.testing.assert_allclose(fill_lesions(marked, lesions, brain, VOXEL).data[lesions], plain)


def test_the_threshold_is_that_of_a_slow_search() -> None:
    rng = np.random.default_rng(1)
    values = np.concatenate(
        [rng.normal(200, 30, 300), rng.normal(600, 40, 500), rng.normal(1000, 40, 700)]
    )
    low, high = np.percentile(values, [1, 99])
    edges = np.linspace(low, high, 129)
    clipped = np.clip(values, low, high)
    best, found = -np.inf, 0.0
    for a, b in itertools.combinations(edges[1:-1:2], 2):
        parts = (
            clipped[clipped < a],
            clipped[(clipped >= a) & (clipped < b)],
            clipped[clipped >= b],
        )
        score = sum(p.size * (p.mean() - clipped.mean()) ** 2 for p in parts if p.size)
        if score > best:
            best, found = score, b
    assert abs(brightest_of_three(values) - found) <= 3 * (edges[1] - edges[0])
    assert 700 < brightest_of_three(values) < 900
    assert brightest_of_three(np.full(10, 3.0)) == 3.0
