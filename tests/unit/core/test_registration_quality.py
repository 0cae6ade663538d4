"""Quality figures against loops, closed forms and images whose answer is known."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from bids_xai.core.registration_quality import (
    correlation,
    covered,
    edge_alignment,
    jacobian,
    normalised_mutual_information,
    smoothness,
)

SHAPE = (20, 24, 28)
ALL = np.ones(SHAPE, bool)


def smooth(seed: int, sd: float = 1.5) -> NDArray[np.float64]:
    noise = np.random.default_rng(seed).normal(size=SHAPE)
    return np.asarray(ndimage.gaussian_filter(noise, sd))


def test_correlation_is_the_textbook_sum_within_the_mask() -> None:
    a, b, mask = smooth(1), smooth(2), smooth(3) > 0
    a[tuple(np.argwhere(mask)[0])] = np.nan
    pairs = [(a[i], b[i]) for i in map(tuple, np.argwhere(mask)) if np.isfinite(a[i])]
    x, y = np.array(pairs).T
    expected = ((x - x.mean()) * (y - y.mean())).mean() / (x.std() * y.std())
    assert correlation(a, b, mask) == pytest.approx(expected)
    assert correlation(a, 3 - 2 * a, mask) == pytest.approx(-1)
    assert np.isnan(correlation(a, np.ones(SHAPE), mask))
    assert np.isnan(correlation(a, b, ~ALL))


def test_covered_counts_the_wanted_voxels() -> None:
    wanted, found = np.zeros(SHAPE, bool), np.zeros(SHAPE, np.uint8)
    wanted[:, :, :8] = True
    found[:15, :, 4:20] = 255
    assert covered(found, wanted) == pytest.approx(15 * 4 / (20 * 8))
    assert np.isnan(covered(found, ~ALL))


def slow_nmi(a: NDArray[np.float64], b: NDArray[np.float64], bins: int) -> float:
    counts = np.zeros((bins, bins))
    codes = []
    for values in (a, b):
        low, high = np.percentile(values, [0.5, 99.5])
        clipped = np.clip(values, low, high)
        codes.append(np.minimum(((clipped - low) / (high - low) * bins).astype(int), bins - 1))
    for i, j in zip(*codes, strict=True):
        counts[i, j] += 1

    def entropy(p: NDArray[np.float64]) -> float:
        return -sum(x * np.log(x) for x in (p / p.sum()).ravel() if x > 0)

    return (entropy(counts.sum(0)) + entropy(counts.sum(1))) / entropy(counts)


def test_nmi_is_the_slow_version() -> None:
    a, mask = smooth(1), smooth(3) > 0
    b = a**2 + 0.1 * smooth(2)
    found = normalised_mutual_information(a, b, mask, 16)
    assert found == pytest.approx(slow_nmi(a[mask], b[mask], 16), rel=1e-3)


def test_nmi_knows_any_contrast_and_falls_with_every_shift() -> None:
    a = smooth(1)
    inverted = np.exp(-a / a.std())
    values = [normalised_mutual_information(a, np.roll(inverted, n, 1), ALL) for n in range(4)]
    assert values[0] > 1.5
    assert values == sorted(values, reverse=True)
    noise = np.random.default_rng(0).normal(size=SHAPE)
    assert 1.0 < normalised_mutual_information(a, noise, ALL) < 1.02
    assert normalised_mutual_information(a, a, ALL) == pytest.approx(2)
    assert np.isnan(normalised_mutual_information(a, a * 0, ALL))


def test_edges_align_whatever_the_contrast() -> None:
    a = smooth(1)
    voxel_mm = (1.0, 1.5, 2.0)
    assert edge_alignment(a, 5 - 3 * a, ALL, voxel_mm) == pytest.approx(1)
    shifted = [edge_alignment(a, np.roll(a, n, 0), ALL, voxel_mm) for n in (0, 1, 2)]
    assert shifted == sorted(shifted, reverse=True)
    unrelated = [  # isotropic in voxels; one such pair has an sd of 0.07
        edge_alignment(smooth(10 + n), smooth(40 + n), ALL, (1.0, 1.0, 1.0)) for n in range(20)
    ]
    assert np.mean(unrelated) == pytest.approx(1 / 3, abs=0.05)
    assert np.isnan(edge_alignment(a, np.ones(SHAPE), ALL, voxel_mm))


def test_edges_of_a_part_are_those_of_the_whole_images() -> None:
    """Gradients near the border of the mask see what lies beyond it, and nothing farther off."""
    a, b, voxel_mm, width_mm = smooth(3), smooth(4), (1.0, 1.5, 2.0), 2.6
    part = np.zeros(SHAPE, bool)
    part[9:12, 10:13, 12:15] = True
    sds = [width_mm / 2 / v for v in voxel_mm]
    gradients = [
        np.stack(np.gradient(ndimage.gaussian_filter(image, sds), *voxel_mm))[:, part]
        for image in (a, b)
    ]
    strength = np.linalg.norm(gradients[0], axis=0) * np.linalg.norm(gradients[1], axis=0)
    edges = strength >= np.quantile(strength, 0.9)
    cosine = (gradients[0] * gradients[1]).sum(0)[edges] / strength[edges]
    found = edge_alignment(a, b, part, voxel_mm, width_mm)
    assert found == pytest.approx((cosine**2).mean(), abs=1e-12)
    assert np.isnan(edge_alignment(a, b, np.zeros(SHAPE, bool), voxel_mm))


def test_edges_are_measured_in_mm() -> None:
    """Ramps of x + y and x − y in mm are perpendicular on any grid."""
    voxel_mm = (1.0, 2.0, 3.0)
    x, y, _ = (i * v for i, v in zip(np.indices(SHAPE), voxel_mm, strict=True))
    middle = np.zeros(SHAPE, bool)
    middle[6:-6, 6:-6, 6:-6] = True
    assert edge_alignment(x + y, x - y, middle, voxel_mm) == pytest.approx(0, abs=1e-6)


def test_jacobian_of_a_linear_map_is_its_determinant() -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([1.0, 1.5, 2.5])
    affine[:3, 3] = [-7, 3, 11]
    matrix = np.eye(3) + np.random.default_rng(1).normal(0, 0.2, (3, 3))
    points = np.moveaxis(np.indices(SHAPE), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    found = jacobian(points @ (matrix - np.eye(3)).T + 4.0, affine)
    np.testing.assert_allclose(found, np.linalg.det(matrix), rtol=1e-9)


def test_jacobian_is_the_slow_version_inside() -> None:
    voxel_mm = np.array([1.0, 1.5, 2.5])
    field = np.stack([smooth(seed) * 8 for seed in (1, 2, 3)], -1)
    found = jacobian(field, np.diag([*voxel_mm, 1.0]))
    for index in product((3, 9), (4, 11), (5, 17)):
        columns = []
        for axis in range(3):
            step = np.eye(3, dtype=int)[axis]
            ahead, behind = tuple(np.array(index) + step), tuple(np.array(index) - step)
            columns.append((field[ahead] - field[behind]) / (2 * voxel_mm[axis]))
        expected = np.linalg.det(np.eye(3) + np.array(columns).T)
        assert found[index] == pytest.approx(expected)


def test_smoothness_counts_folds_and_stretches() -> None:
    determinants = np.full(SHAPE, np.e)
    determinants[:10] = 1 / np.e
    determinants[0, 0, :14] = -2.0
    mask = ALL.copy()
    mask[:, :, 14:] = False
    found = smoothness(determinants, mask)
    inside = determinants[mask]
    assert found.folded == pytest.approx(14 / mask.sum())
    assert found.sd_log == pytest.approx(np.std(np.log(inside[inside > 0])))
    assert np.isnan(smoothness(determinants, ~ALL).folded)
    assert np.isnan(smoothness(-determinants[10:], ALL[10:]).sd_log)
