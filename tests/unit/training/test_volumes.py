"""Scans on disk, in memory or mapped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bids_xai.training.batches import batches, labels_of
from bids_xai.training.volumes import VolumeFile, VolumeFiles, save_array

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


def _size(files: list[VolumeFile]) -> int:
    return sum(f.stat().st_size for entry in files for f in (entry.volume, entry.mask))


def test_size_decides_between_memory_and_disk(files: list[VolumeFile]) -> None:
    assert VolumeFiles(files).in_memory
    assert VolumeFiles(files, memory_bytes=_size(files)).in_memory
    assert not VolumeFiles(files, memory_bytes=_size(files) - 1).in_memory


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
