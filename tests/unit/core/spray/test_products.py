"""Sums of products tile by tile: those of one product in double precision."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.core.spray.products import add_products, mirror


@pytest.mark.parametrize("device", ["cpu", "cpu:0"])  # by numpy, by torch
@pytest.mark.parametrize("tile", [3, 7, 100])
def test_sums_are_those_of_one_product(device: str, tile: int) -> None:
    """Tiles that do not divide the rows; two lots of voxels add up."""
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(10, 40)), rng.normal(size=(8, 40))
    sums = np.zeros((10, 8))
    for columns in (slice(0, 25), slice(25, 40)):
        add_products(sums, left[:, columns], right[:, columns], device, tile)
    np.testing.assert_allclose(sums, left @ right.T, rtol=1e-12)


@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
@pytest.mark.parametrize("tile", [3, 5, 100])
def test_a_block_with_itself_is_whole_after_mirroring(device: str, tile: int) -> None:
    maps = np.random.default_rng(1).normal(size=(10, 40)).astype(np.float32)
    sums = np.zeros((10, 10))
    add_products(sums, maps, maps, device, tile)
    mirror(sums, tile)
    np.testing.assert_allclose(sums, maps @ maps.T, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(sums, sums.T, rtol=1e-5, atol=1e-5)


def test_tiles_above_the_diagonal_are_not_made() -> None:
    """Half of the products of a block with itself would be made twice."""
    maps = np.ones((6, 2), np.float32)
    sums = np.zeros((6, 6))
    add_products(sums, maps, maps, tile=2)
    assert (sums[:2, 2:] == 0).all()
    assert (sums[2:4, 4:] == 0).all()
    assert (sums[2:, :2] == 2).all()
