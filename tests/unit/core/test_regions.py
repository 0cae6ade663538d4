"""Region sums against slow loops."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.core.regions import region_relevance
from bids_xai.errors import BadDataError

SHAPE = (5, 6, 7)
VALUES = (2035, 3, 256, 77)


def _maps() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 3, 255, 256, 2035, 70000], size=SHAPE)
    return rng.normal(size=SHAPE).astype(np.float32), labels


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.float64])
@pytest.mark.parametrize("values", [VALUES, (0, *VALUES)])
def test_against_slow_loops(dtype: type, values: tuple[int, ...]) -> None:
    relevance, labels = _maps()
    found = region_relevance(relevance, labels.astype(dtype), values)
    total = sum(float(r) for r in relevance.ravel())
    for i, value in enumerate(values):
        inside = [float(relevance[index]) for index in np.ndindex(SHAPE) if labels[index] == value]
        assert found.values[i] == value
        assert found.n_voxels[i] == len(inside)
        assert found.sum[i] == pytest.approx(sum(inside))
        assert found.abs_sum[i] == pytest.approx(sum(abs(r) for r in inside))
        assert found.share[i] == pytest.approx(sum(inside) / total)
        if inside:
            assert found.density[i] == pytest.approx(sum(inside) / len(inside))
        else:
            assert np.isnan(found.density[i])


def test_swapped_axes_are_refused() -> None:
    relevance, labels = _maps()
    with pytest.raises(BadDataError, match="differ in shape"):
        region_relevance(relevance, labels.transpose(1, 0, 2), VALUES)


def test_a_map_of_zeros_has_no_shares() -> None:
    _, labels = _maps()
    found = region_relevance(np.zeros(SHAPE), labels, VALUES)
    assert np.isnan(found.share).all()
    assert (found.sum == 0).all()


@pytest.mark.parametrize("label", [-1.0, 2.5, np.nan, np.inf])
def test_broken_labels_are_refused(label: float) -> None:
    relevance, labels = _maps()
    broken = labels.astype(np.float64)
    broken[0, 1, 2] = label
    with pytest.raises(BadDataError, match="whole numbers"):
        region_relevance(relevance, broken, VALUES)


def test_undefined_relevance_is_refused() -> None:
    relevance, labels = _maps()
    relevance[0, 0, 0] = np.nan
    with pytest.raises(BadDataError, match="undefined"):
        region_relevance(relevance, labels, VALUES)


def test_no_region_at_all() -> None:
    relevance, labels = _maps()
    assert region_relevance(relevance, labels, ()).sum.size == 0
