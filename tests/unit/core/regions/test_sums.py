"""Region sums against slow loops and nilearn."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from bids_xai.core.regions.sums import RegionIndex, region_relevance
from bids_xai.errors import BadDataError

SHAPE = (5, 6, 7)
VALUES = (2035, 3, 256, 77)  # 77 has no voxels
OTHER_VALUES = (12, 400, 2**31 - 1)


def _maps() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 3, 255, 256, 2035, 70000], size=SHAPE)
    return rng.normal(size=SHAPE).astype(np.float32), labels


def _check(found: object, relevance: np.ndarray, labels: np.ndarray, values: tuple) -> None:
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


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.float64])
@pytest.mark.parametrize("values", [VALUES, (0, *VALUES)])
def test_against_slow_loops(dtype: type, values: tuple[int, ...]) -> None:
    relevance, labels = _maps()
    _check(region_relevance(relevance, labels.astype(dtype), values), relevance, labels, values)


def test_several_atlases_in_one_pass_against_slow_loops() -> None:
    rng = np.random.default_rng(1)
    _, labels = _maps()
    other = rng.choice([0, 12, 13, 400, 2**31 - 1], size=SHAPE)
    nothing = np.zeros(SHAPE, dtype=np.uint8)
    index = RegionIndex([(labels, VALUES), (other, OTHER_VALUES), (nothing, (5,))])
    for _ in range(3):  # one index, many maps
        relevance = rng.normal(size=SHAPE).astype(np.float32)
        first, second, third = index.sums(relevance)
        _check(first, relevance, labels, VALUES)
        _check(second, relevance, other, OTHER_VALUES)
        assert (third.n_voxels[0], third.sum[0]) == (0, 0)
    assert [n.tolist() for n in index.n_voxels][2] == [0]


def test_any_number_of_atlases_at_once() -> None:
    """More combinations of regions than 64 bits can count."""
    rng = np.random.default_rng(3)
    values = tuple(range(1, 70))
    every = [rng.integers(0, 80, SHAPE) for _ in range(14)]
    relevance = rng.normal(size=SHAPE).astype(np.float32)
    found = RegionIndex([(labels, values) for labels in every]).sums(relevance)
    for one, labels in zip(found, every, strict=True):
        _check(one, relevance, labels, values)


def test_means_are_those_of_nilearn() -> None:
    from nilearn.maskers import NiftiLabelsMasker

    rng = np.random.default_rng(2)
    labels = rng.choice([0, 3, 256, 2035], size=SHAPE).astype(np.int32)
    relevance = rng.normal(size=SHAPE).astype(np.float32)
    masker = NiftiLabelsMasker(nib.Nifti1Image(labels, np.eye(4)), standardize=None)
    theirs = masker.fit_transform(nib.Nifti1Image(relevance, np.eye(4))).ravel()
    ours = region_relevance(relevance, labels, (3, 256, 2035)).density
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_sums_keep_small_values_beside_large_ones() -> None:
    """A million float32 values of 0.1 lose a thousandth when they are added as float32."""
    relevance = np.full((100, 100, 100), 0.1, dtype=np.float32)
    found = region_relevance(relevance, np.ones(relevance.shape, np.uint8), (1,))
    assert found.sum[0] == pytest.approx(float(np.float32(0.1)) * 1e6, rel=1e-9)


def test_swapped_axes_are_refused() -> None:
    relevance, labels = _maps()
    with pytest.raises(BadDataError, match="differ in shape"):
        region_relevance(relevance, labels.transpose(1, 0, 2), VALUES)
    with pytest.raises(BadDataError, match="Atlases differ in shape"):
        RegionIndex([(labels, VALUES), (labels.transpose(1, 0, 2), VALUES)])


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


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [3, 0])
def test_undefined_relevance_is_refused(value: float, where: int) -> None:
    relevance, labels = _maps()
    relevance[tuple(np.argwhere(labels == where)[0])] = value
    with pytest.raises(BadDataError, match="undefined"):
        region_relevance(relevance, labels, VALUES)


def test_no_region_at_all() -> None:
    relevance, labels = _maps()
    assert region_relevance(relevance, labels, ()).sum.size == 0


def test_a_region_asked_for_twice_is_a_mistake_of_the_caller() -> None:
    relevance, labels = _maps()
    with pytest.raises(ValueError, match="each given once"):
        region_relevance(relevance, labels, (3, 3))
