"""Likeness of heatmaps against slow loops and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from bids_xai.core.map_similarity import TOP_SHARES, MapSimilarity, top_sets
from bids_xai.core.similarity import compare

SHAPE = (12, 11, 13)


def _mask() -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[1:9, 3:8, 3:10] = True  # reaches the border, where no cube fits
    return mask


def _maps(seed: int = 0, signed: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    a = rng.exponential(size=SHAPE) * (rng.random(SHAPE) > 0.2)
    b = 0.5 * a + rng.exponential(size=SHAPE)
    return (a - 0.7, b - 0.7) if signed else (a, b)


def _slow_top_set(flat: np.ndarray, share: float) -> set[int]:
    chosen: set[int] = set()
    total, reached = sum(v for v in flat if v > 0), 0.0
    for index in sorted(range(flat.size), key=lambda i: -flat[i]):
        if flat[index] <= 0 or reached >= share * total * (1 - 1e-9):
            break
        reached += flat[index]
        chosen.add(index)
    return chosen


@pytest.mark.parametrize("signed", [False, True])
def test_every_measure_against_a_slow_version(signed: bool) -> None:
    a, b = _maps(signed=signed)
    mask = _mask()
    similarity = MapSimilarity(mask)
    found = similarity.compare(similarity.profile(a), similarity.profile(b))
    for share in TOP_SHARES:
        one, other = (_slow_top_set(data.ravel(), share) for data in (a, b))
        assert found[f"iou_{share:g}"] == pytest.approx(len(one & other) / len(one | other))
    assert found["spearman"] == pytest.approx(spearmanr(a[mask], b[mask]).statistic)
    assert found["ssim"] == pytest.approx(compare(a, b, mask).ssim, abs=1e-5)
    by_sum = a / np.abs(a).sum() - b / np.abs(b).sum()
    assert found["euclidean"] == pytest.approx(np.sqrt((by_sum**2).sum()), rel=1e-4)
    by_maximum = a / np.abs(a).max() - b / np.abs(b).max()
    assert found["l2"] == pytest.approx(np.sqrt((by_maximum**2).sum()), rel=1e-5)


def test_a_map_is_like_itself_and_a_multiple_of_it() -> None:
    a, _ = _maps()
    similarity = MapSimilarity(_mask())
    found = similarity.compare(similarity.profile(a), similarity.profile(1e-6 * a))
    assert found["ssim"] == pytest.approx(1, abs=1e-5)
    assert found["spearman"] == pytest.approx(1)
    assert found["iou_0.1"] == found["iou_0.5"] == 1
    assert found["euclidean"] == pytest.approx(0, abs=1e-6)
    assert found["l2"] == pytest.approx(0, abs=1e-5)


def test_measures_inside_the_mask_do_not_see_the_outside() -> None:
    a, b = _maps(1)
    similarity = MapSimilarity(_mask())
    before = similarity.compare(similarity.profile(a), similarity.profile(b))
    b[-1, 0, 0] = a[-1, 0, 0] = 1.5  # further away than a cube reaches
    after = similarity.compare(similarity.profile(a), similarity.profile(b))
    assert after["spearman"] == before["spearman"]
    assert after["ssim"] == pytest.approx(before["ssim"], abs=0.005)  # one scale for both maps
    assert after["euclidean"] != before["euclidean"]


def test_an_empty_map_is_like_nothing() -> None:
    a, _ = _maps()
    similarity = MapSimilarity(_mask())
    found = similarity.compare(similarity.profile(a), similarity.profile(np.zeros(SHAPE)))
    assert np.isnan([found["iou_0.1"], found["spearman"]]).all()
    assert np.isfinite([found["ssim"], found["euclidean"], found["l2"]]).all()
    found = MapSimilarity(np.zeros(SHAPE, bool))
    assert np.isnan(found.ssim(found.profile(a), found.profile(a)))


def test_top_sets_are_the_smallest_and_count_equal_voxels_in_order() -> None:
    values, shares = np.array([0.0, 4.0, -9.0, 1.0, 3.0, 1.0, 1.0]), (0.4, 0.7, 0.8, 1.0)
    sets = top_sets(values, shares)
    chosen = [np.flatnonzero(s).tolist() for s in sets]
    assert chosen == [[1], [1, 4], [1, 3, 4], [1, 3, 4, 5, 6]]
    assert [set(one) for one in chosen] == [_slow_top_set(values, share) for share in shares]
    rng = np.random.default_rng(4)
    for share in (0.1, 0.4, 0.5, 0.93, 1.0):
        a = rng.normal(size=60)
        (one,) = top_sets(a, (share,))
        positive = np.sort(a[a > 0])[::-1]
        n = next(k for k in range(1, 61) if positive[:k].sum() >= share * positive.sum() - 1e-12)
        assert one.sum() == n
        assert a[one].min() >= a[~one].max()
    assert [s.sum() for s in top_sets(np.zeros(4), (0.1, 0.5))] == [0, 0]
    equal = top_sets(np.full(1000, 0.1), (0.1, 0.5))
    assert [np.flatnonzero(s).tolist() for s in equal] == [list(range(100)), list(range(500))]
