"""Structural similarity, rank correlation and top sets against slow loops and other libraries."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from bids_xai.core.similarity import Reference, compare, scaled, spearman, ssim3d
from bids_xai.errors import BadDataError, UsageError


@pytest.fixture
def maps() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    a = rng.normal(size=(13, 12, 14))
    return a, 0.6 * a + 0.5 * rng.normal(size=a.shape)


def slow_ssim(a: np.ndarray, b: np.ndarray, data_range: float, weights: np.ndarray) -> np.ndarray:
    """Structural similarity of every whole window, one by one."""
    size = weights.shape[0]
    sample = weights.size / (weights.size - 1)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    result = np.empty([n - size + 1 for n in a.shape])
    for place in np.ndindex(result.shape):
        window = tuple(slice(p, p + size) for p in place)
        x, y = a[window], b[window]
        mx, my = (weights * x).sum(), (weights * y).sum()
        vx = sample * (weights * (x - mx) ** 2).sum()
        vy = sample * (weights * (y - my) ** 2).sum()
        cov = sample * (weights * (x - mx) * (y - my)).sum()
        result[place] = ((2 * mx * my + c1) * (2 * cov + c2)) / (
            (mx**2 + my**2 + c1) * (vx + vy + c2)
        )
    return result


def windows() -> dict[str, np.ndarray]:
    bell = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    bell /= bell.sum()
    return {
        "uniform": np.full((7, 7, 7), 1 / 343),
        "gaussian": bell[:, None, None] * bell[:, None] * bell,
    }


@pytest.mark.parametrize("window", ["uniform", "gaussian"])
def test_ssim_equals_a_slow_loop(maps, window: str) -> None:
    expected = slow_ssim(*maps, 4.0, windows()[window]).mean()
    assert ssim3d(*maps, data_range=4.0, window=window) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("window", ["uniform", "gaussian"])
def test_ssim_equals_scikit_image(maps, window: str) -> None:
    metrics = pytest.importorskip("skimage.metrics")
    expected = metrics.structural_similarity(
        *maps, data_range=4.0, gaussian_weights=window == "gaussian"
    )
    assert ssim3d(*maps, data_range=4.0, window=window) == pytest.approx(expected, abs=1e-12)


def test_ssim_within_a_region_is_the_mean_of_its_windows(maps) -> None:
    within = np.zeros(maps[0].shape, bool)
    within[4:7, 2:9, 5:] = True
    each = slow_ssim(*maps, 4.0, windows()["uniform"])
    expected = each[within[3:-3, 3:-3, 3:-3]].mean()
    assert ssim3d(*maps, data_range=4.0, within=within) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(ssim3d(*maps, data_range=4.0, within=np.zeros_like(within)))


def test_ssim_of_equal_maps_is_one_and_mistakes_are_named(maps) -> None:
    a, b = maps
    assert ssim3d(a, a, data_range=2.0) == pytest.approx(1.0)
    with pytest.raises(BadDataError, match="smaller than a window of 7"):
        ssim3d(a[:6], b[:6], data_range=1.0)
    with pytest.raises(BadDataError, match="cannot be compared"):
        ssim3d(a, b[1:], data_range=1.0)
    with pytest.raises(UsageError, match="data_range"):
        ssim3d(a, b, data_range=0.0)
    with pytest.raises(UsageError, match="Unknown window"):
        ssim3d(a, b, data_range=1.0, window="round")


def test_spearman_equals_scipy_also_with_ties() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(-3, 4, (2, 6, 5, 4)).astype(float)
    assert spearman(a, b) == pytest.approx(spearmanr(a.ravel(), b.ravel()).statistic, abs=1e-12)
    assert spearman(a, -a) == pytest.approx(-1.0)
    assert np.isnan(spearman(a, np.ones_like(a)))


def test_compare_knows_sign_scale_and_emptiness() -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(size=(12, 12, 12))
    same = compare(a, 100 * a)
    assert (same.ssim, same.spearman, same.spearman_abs) == pytest.approx((1.0, 1.0, 1.0))
    turned = compare(a, -a)
    assert turned.spearman == pytest.approx(-1.0)
    assert turned.spearman_abs == pytest.approx(1.0)
    assert turned.ssim < 0
    assert np.isnan(compare(a, np.zeros_like(a)).ssim)


def test_compare_leaves_empty_background_out() -> None:
    rng = np.random.default_rng(2)
    brain = np.zeros((24, 24, 24), bool)
    brain[8:16, 8:16, 8:16] = True
    a, b = (rng.random((2, *brain.shape)) * brain).astype(np.float32)
    assert compare(a, b).ssim > 0.7
    assert compare(a, b).spearman > 0.7
    assert abs(compare(a, b, brain).spearman) < 0.15
    assert compare(a, b, brain).ssim < compare(a, b).ssim - 0.1


def test_scaled_clips_the_peak() -> None:
    a = np.zeros((10, 10, 10))
    a[0], a[1, 0, 0] = 1.0, -1000.0
    found = scaled(a)
    assert found[0] == pytest.approx(1.0)
    assert found.min() == -1.0
    assert not scaled(np.zeros((3, 3, 3))).any()


@pytest.mark.parametrize("signed", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("region", ["all", "some", "corner", "nothing"])
def test_a_reference_compares_as_slow_loops_do(
    maps, signed: tuple[bool, bool], region: str
) -> None:
    maps = [values if may else np.abs(values) for values, may in zip(maps, signed, strict=True)]
    within = np.zeros(maps[0].shape, bool)
    where = {"all": np.s_[:], "some": np.s_[2:7, 4:, 5:9], "corner": np.s_[:5, :4, :5]}
    if region in where:
        within[where[region]] = True
    a, b = maps
    reference = Reference(a, within)
    reference.compare(-b)  # what is kept of the first comparison changes nothing in the second
    similarity = reference.compare(b)
    each = slow_ssim(scaled(a), scaled(b), 2.0 if any(signed) else 1.0, windows()["uniform"])
    counted = each[within[3:-3, 3:-3, 3:-3]]
    expected = {
        "ssim": counted.mean() if counted.size else np.nan,
        "spearman": spearmanr(a[within], b[within]).statistic if within.any() else np.nan,
        "spearman_abs": spearmanr(np.abs(a[within]), np.abs(b[within])).statistic
        if within.any()
        else np.nan,
    }
    for name, value in expected.items():
        assert getattr(similarity, name) == pytest.approx(value, abs=1e-12, nan_ok=True)
