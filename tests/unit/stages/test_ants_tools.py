"""Coarse grids and boxes lie where the image was in the world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bids_xai.bids.images import Volume
from bids_xai.bids.stamps import session_stamp, write_stamp
from bids_xai.errors import BadDataError
from bids_xai.stages import ants_tools


def test_a_coarse_grid_stays_where_it_was() -> None:
    x, y, z = np.indices((40, 36, 44), dtype=float)
    data = np.exp(-((x - 15) ** 2 + (y - 20) ** 2 + (z - 25) ** 2) / (2 * 4.0**2))
    turn = np.array([[0, -1.0, 0], [0.8, 0, -0.6], [0.6, 0, 0.8]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([1.0, 1.2, 0.9])
    affine[:3, 3] = [5, -8, 3]
    small = ants_tools.coarsen(
        ants_tools.ants_module(0), Volume(data.astype(np.float32), affine), 2.0
    )
    assert small.voxel_mm == pytest.approx((2, 2, 2), abs=1e-5)
    index = (np.indices(small.data.shape) * small.data).sum((1, 2, 3)) / small.data.sum()
    found = small.affine[:3, :3] @ index + small.affine[:3, 3]
    np.testing.assert_allclose(found, affine[:3, :3] @ [15, 20, 25] + affine[:3, 3], atol=0.1)
    again = ants_tools.coarsen(ants_tools.ants_module(0), small, 2.0)
    assert again is small


def test_a_cut_stays_where_it_was() -> None:
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = [-86, -110, -70]
    mask = np.zeros((44, 52, 40), bool)
    mask[10:20, 0:5, 30:38] = True
    volume = Volume(np.random.default_rng(0).random((44, 52, 40)), affine)
    box = ants_tools.crop(volume, mask, 8.0)
    assert box == (slice(8, 22), slice(0, 7), slice(28, 40))
    part = ants_tools.cut(volume, box)
    np.testing.assert_array_equal(part.data, volume.data[box])
    np.testing.assert_allclose(part.affine @ [1, 2, 3, 1], volume.affine @ [9, 2, 31, 1])


def test_an_oblique_grid_comes_back_and_shear_is_refused() -> None:
    ants = ants_tools.ants_module(0)
    turn = np.array([[0, -1.0, 0], [0.8, 0, -0.6], [0.6, 0, 0.8]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([1.0, 1.2, 0.9])
    affine[:3, 3] = [5, -8, 3]
    data = np.random.default_rng(0).random((6, 7, 8)).astype(np.float32)
    data[0, 0, 0] = np.nan
    image = ants_tools.to_ants(ants, Volume(data, affine))
    np.testing.assert_array_equal(image.numpy(), np.nan_to_num(data))
    index = np.array([2, 3, 4])
    point = image.origin + image.direction @ (np.array(image.spacing) * index)
    np.testing.assert_allclose(point * [-1, -1, 1], (affine @ [*index, 1])[:3], atol=1e-5)
    affine[1, 1] += 0.3
    with pytest.raises(BadDataError, match="shear"):
        ants_tools.to_ants(ants, Volume(data, affine))


def test_a_volume_on_its_own_grid_stays_as_it_is_and_outside_is_zero() -> None:
    ants = ants_tools.ants_module(0)
    volume = Volume(np.random.default_rng(0).random((6, 7, 8)).astype(np.float32) + 1, np.eye(4))
    np.testing.assert_allclose(ants_tools.resample(ants, volume, volume, []), volume.data)
    shifted = np.eye(4)
    shifted[0, 3] = 2
    moved = ants_tools.resample(ants, volume, Volume(volume.data, shifted), [])
    np.testing.assert_allclose(moved[:4], volume.data[2:], atol=1e-5)
    assert not moved[4:].any()


def test_the_scratch_folder_is_gone_after_an_error() -> None:
    folders = []

    def fail() -> None:
        with ants_tools.scratch_folder() as folder:
            folders.append(folder)
            (folder / "x").write_text("")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not folders[0].exists()


def test_a_flipped_bit_in_a_transform_moves_no_warp(tmp_path: Path) -> None:
    """ITK reads the file as if nothing was wrong."""
    ants = ants_tools.ants_module(0)
    transform = tmp_path / "out" / "sub-01" / "anat" / "sub-01_from-T1w_to-x_mode-image_xfm.mat"
    transform.parent.mkdir(parents=True)
    parameters = (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0, 1.0, 2.0, 3.0)
    affine = ants.create_ants_transform(
        transform_type="AffineTransform", dimension=3, parameters=parameters
    )
    ants.write_transform(affine, str(transform))
    image = Volume(np.random.default_rng(0).random((9, 9, 9)).astype(np.float32), np.eye(4))
    right = ants_tools.resample(ants, image, image, [transform])
    content = bytearray(transform.read_bytes())
    content[content.index(np.float64(3.0).tobytes()) + 6] ^= 1 << 3  # of the mantissa: 0.5 or so
    moved = transform.with_name("moved.mat")
    moved.write_bytes(content)
    warped = ants_tools.resample(ants, image, image, [moved])
    assert np.abs(warped - right).max() > 0.1

    write_stamp(session_stamp(tmp_path / "out", "sub-01"), "1", tmp_path / "out", [transform])
    np.testing.assert_array_equal(ants_tools.resample(ants, image, image, [transform]), right)
    transform.write_bytes(content)
    with pytest.raises(BadDataError, match="damaged or was changed") as caught:
        ants_tools.resample(ants, image, image, [transform])
    assert caught.value.file == str(transform)
