"""Mirroring and shifting of training scans."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor
from training_cases import make_recipe

from bids_xai.training.augmentation import augmentation, draw, moved

SHAPE = (3, 4, 5)


def _moved_slowly(volume: Tensor, flips: list[int], shift: tuple[int, ...]) -> Tensor:
    """Voxel by voxel: where does the content of each one come from?"""
    result = torch.zeros_like(volume)
    for voxel in product(*map(range, SHAPE)):
        source = [i - s for i, s in zip(voxel, shift, strict=True)]
        if all(0 <= i < n for i, n in zip(source, SHAPE, strict=True)):
            origin = [
                n - 1 - i if a in flips else i
                for a, (i, n) in enumerate(zip(source, SHAPE, strict=True))
            ]
            result[(slice(None), *voxel)] = volume[(slice(None), *origin)]
    return result


@pytest.mark.parametrize("flips", [[], [0], [1], [0, 2], [0, 1, 2]])
@pytest.mark.parametrize(
    "shift", [(0, 0, 0), (1, 0, 0), (0, -2, 1), (-1, 3, -4), (3, 0, 0), (0, 9, -9)]
)
def test_moved_equals_a_voxel_by_voxel_version(flips: list[int], shift: tuple[int, ...]) -> None:
    volume = torch.rand(2, *SHAPE)
    before = volume.clone()
    assert torch.equal(moved(volume, flips, shift), _moved_slowly(volume, flips, shift))
    assert torch.equal(volume, before)


def test_a_known_voxel_moves_as_told() -> None:
    volume = torch.zeros(1, *SHAPE)
    volume[0, 0, 1, 2] = 1
    assert moved(volume, [], (1, -1, 2))[0, 1, 0, 4] == 1
    assert moved(volume, [0], (0, 0, 0))[0, 2, 1, 2] == 1  # axis 0: left and right change places
    assert moved(volume, [], (-1, 0, 0)).sum() == 0  # moved out, nothing comes in again


def test_nothing_asked_for_is_nothing_done() -> None:
    assert augmentation(make_recipe(), 1) is None


def test_volume_and_mask_are_moved_alike() -> None:
    change = augmentation(make_recipe(flip_axes=(0, 1), shift_voxels=1), 3)
    assert change is not None
    volume = torch.rand(1, *SHAPE)
    kinds = set()
    for index in range(20):
        seen, mask = change(volume, 2 * volume, index)
        assert torch.equal(mask, 2 * seen)
        kinds.add(float(seen[0, 1, 1, 1]))
    assert len(kinds) > 5


def test_draws_are_even_and_depend_on_seed_epoch_and_scan_alone() -> None:
    recipe = make_recipe(flip_axes=(0, 2), shift_voxels=2, seed=7)
    drawn = [draw(recipe, epoch, index)[:2] for epoch in range(1, 31) for index in range(40)]
    n = len(drawn)
    for axis, share in ((0, 0.5), (1, 0.0), (2, 0.5)):
        assert np.mean([axis in flips for flips, _ in drawn]) == pytest.approx(share, abs=0.05)
    for axis in range(3):
        shifts = [shift[axis] for _, shift in drawn]
        assert set(shifts) == {-2, -1, 0, 1, 2}
        np.testing.assert_allclose(np.bincount(np.array(shifts) + 2) / n, 0.2, atol=0.05)
    assert draw(recipe, 4, 11) == draw(recipe, 4, 11)
    assert draw(recipe, 4, 11)[:2] == drawn[3 * 40 + 11]
    other = make_recipe(flip_axes=(0, 2), shift_voxels=2, seed=8)
    assert [draw(other, 1, index)[:2] for index in range(40)] != drawn[:40]
    assert drawn[:40] != drawn[40:80]


def test_augmentation_is_not_the_stream_that_orders_the_scans() -> None:
    """Trailing zeros of a seed change nothing in numpy: scan 0 must not repeat its draws."""
    recipe = make_recipe(shift_voxels=500, seed=3)
    order = np.random.default_rng((3, 1)).integers(-500, 500, size=3, endpoint=True)
    assert draw(recipe, 1, 0).shift != tuple(order)


def test_a_share_of_the_scans_is_zero_outside_its_mask() -> None:
    change = augmentation(make_recipe(skull_strip=0.3, flip_axes=(1,), seed=2), 5)
    assert change is not None
    volume, mask = torch.rand(1, *SHAPE) + 1, (torch.rand(1, *SHAPE) < 0.5).float()
    n_stripped = 0
    for index in range(1000):
        seen, seen_mask = change(volume, mask, index)
        outside = seen[seen_mask == 0]
        assert (seen[seen_mask > 0] > 0).all()
        assert (outside == 0).all() or (outside > 0).all()
        n_stripped += bool((outside == 0).all())
    assert n_stripped == pytest.approx(300, abs=45)  # three standard deviations
    assert (volume > 0).all()  # not changed


@pytest.mark.parametrize(("share", "stripped"), [(0.0, False), (1.0, True)])
def test_skull_stripping_of_none_and_of_all(share: float, stripped: bool) -> None:
    recipe = make_recipe(skull_strip=share, shift_voxels=1)
    assert {draw(recipe, 1, index).stripped for index in range(50)} == {stripped}


def test_skull_stripping_leaves_the_other_draws_as_they_are() -> None:
    with_it, without = (
        make_recipe(flip_axes=(0, 2), shift_voxels=2, skull_strip=share) for share in (0.5, 0.0)
    )
    for index in range(20):
        assert draw(with_it, 2, index)[:2] == draw(without, 2, index)[:2]
