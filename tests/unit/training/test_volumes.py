"""Scans on disk, in memory or mapped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bids_xai.errors import BadDataError
from bids_xai.training.batches import batches, labels_of
from bids_xai.training.volumes import VolumeFile, VolumeFiles, is_whole, save_array

SHAPE = (4, 5, 6)


@pytest.fixture
def files(tmp_path: Path) -> list[VolumeFile]:
    rng = np.random.default_rng(1)
    return [
        VolumeFile(
            save_array(tmp_path / f"{i}.npy", rng.random(SHAPE, dtype=np.float32)),
            save_array(tmp_path / f"{i}_mask.npy", rng.integers(0, 2, SHAPE).astype(np.uint8)),
            i % 2,
        )
        for i in range(3)
    ]


@pytest.mark.parametrize("n_kept", [0, 1, 2, 3])
def test_no_more_is_kept_in_memory_than_is_allowed(files: list[VolumeFile], n_kept: int) -> None:
    """The first scans that are asked for stay, whatever comes later."""
    of_a_scan = 5 * int(np.prod(SHAPE))
    data = VolumeFiles(files, memory_bytes=n_kept * of_a_scan)
    for index in (2, 0, 1, 2, 1):
        data[index]
    assert data.bytes_in_memory == n_kept * of_a_scan
    for entry in files:
        save_array(entry.volume, np.zeros(SHAPE, dtype=np.float32))
    assert [bool(data[index][0].any()) for index in (2, 0, 1)] == [i < n_kept for i in range(3)]


def test_a_volume_that_is_gone_or_cut_is_named(files: list[VolumeFile]) -> None:
    data = VolumeFiles(files)
    files[0].volume.unlink()
    files[1].mask.write_bytes(files[1].mask.read_bytes()[:-1])
    for index, file in ((0, files[0].volume), (1, files[1].mask)):
        with pytest.raises(
            BadDataError, match=r"gone or damaged.*start the same command"
        ) as caught:
            data[index]
        assert caught.value.file == str(file)


def test_a_file_is_whole_with_all_its_bytes_shape_and_type(tmp_path: Path) -> None:
    values = np.asfortranarray(np.random.default_rng(0).random(SHAPE, dtype=np.float32))
    file = save_array(tmp_path / "v.npy", values)
    np.testing.assert_array_equal(np.load(file), values)
    assert is_whole(file, SHAPE, np.float32)
    assert not is_whole(file, SHAPE[::-1], np.float32)
    assert not is_whole(file, SHAPE, np.float64)
    content = file.read_bytes()
    for damaged in (content[:-1], content + b"0", content[:20], b"", b"x" + content[1:]):
        file.write_bytes(damaged)
        assert not is_whole(file, SHAPE, np.float32)
    assert not is_whole(tmp_path / "none.npy", SHAPE, np.float32)


@pytest.mark.parametrize("memory_bytes", [0, 10**6])
def test_scans_are_what_was_saved(files: list[VolumeFile], memory_bytes: int) -> None:
    data = VolumeFiles(files, memory_bytes=memory_bytes)
    assert len(data) == 3
    for _ in range(2):
        for i, entry in enumerate(files):
            volume, mask, label = data[i]
            assert volume.shape == mask.shape == (1, *SHAPE)
            assert volume.dtype == mask.dtype == torch.float32
            np.testing.assert_array_equal(volume[0], np.load(entry.volume))
            np.testing.assert_array_equal(mask[0], np.load(entry.mask))
            assert label == i % 2


def test_what_is_in_memory_is_read_once(files: list[VolumeFile]) -> None:
    in_memory, mapped = VolumeFiles(files), VolumeFiles(files, memory_bytes=0)
    before = in_memory[1][0].clone(), mapped[1][0].clone()
    save_array(files[1].volume, np.zeros(SHAPE, dtype=np.float32))
    assert torch.equal(in_memory[1][0], before[0])
    assert mapped[1][0].sum() == 0
    assert before[1].sum() > 0


def test_files_are_never_written(files: list[VolumeFile]) -> None:
    before = files[0].volume.read_bytes()
    VolumeFiles(files, memory_bytes=0)[0][0].zero_()
    assert files[0].volume.read_bytes() == before


def test_labels_are_known_without_a_look_at_volumes(files: list[VolumeFile]) -> None:
    data = VolumeFiles(files)
    for entry in files:
        entry.volume.unlink()
    assert labels_of(data) == [0, 1, 0]


def test_several_channels_share_a_mask(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    volume = save_array(tmp_path / "v.npy", rng.random((2, *SHAPE), dtype=np.float32))
    mask = save_array(tmp_path / "m.npy", np.ones(SHAPE, dtype=np.uint8))
    data = VolumeFiles([VolumeFile(volume, mask, 0)])
    ((volumes, masks, labels),) = batches(data, [0], 4, "cpu")
    assert (volumes.shape, masks.shape) == ((1, 2, *SHAPE), (1, 1, *SHAPE))
    assert labels.tolist() == [0]
