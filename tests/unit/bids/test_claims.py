"""Who makes a file, and who still uses a folder."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from bids_xai.bids.claims import STALE_S, claim, in_use, remove_unused
from bids_xai.errors import CannotCreateError

HERE = socket.gethostname()


def claim_file(path: Path) -> Path:
    return path.with_name(f".{path.name}.claim")


def test_a_claim_is_there_while_it_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "volume.npy"
    with claim(path) as ours:
        assert ours
        assert claim_file(path).read_text() == f"{HERE} {os.getpid()}"
    assert list(tmp_path.iterdir()) == []


def test_a_claim_of_a_living_process_is_respected(tmp_path: Path) -> None:
    """However old: what it makes may be large."""
    path = tmp_path / "volume.npy"
    with subprocess.Popen(["sleep", "60"]) as another:
        claim_file(path).write_text(f"{HERE} {another.pid}")
        os.utime(claim_file(path), (0, 0))
        with claim(path) as ours:
            assert not ours
        assert claim_file(path).is_file()
        another.kill()
    with claim(path) as ours:
        assert ours


def test_a_claim_of_another_machine_is_respected_for_a_time(tmp_path: Path) -> None:
    path = tmp_path / "volume.npy"
    claim_file(path).write_text("elsewhere 1")
    for age, expected in ((STALE_S - 60, False), (STALE_S + 60, True)):
        os.utime(claim_file(path), (time.time() - age,) * 2)
        with claim(path) as ours:
            assert ours is expected


def test_where_no_claim_can_be_written_the_file_is_made(tmp_path: Path) -> None:
    with claim(tmp_path / "none" / "volume.npy") as ours:
        assert ours


def test_a_folder_in_use_is_not_removed(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "volumes"
    with in_use(folder), in_use(folder):
        (folder / "volume.npy").write_bytes(b"1")
        assert not remove_unused(folder)
        assert (folder / "volume.npy").is_file()
    assert remove_unused(folder)
    assert not folder.exists()
    assert remove_unused(folder)  # by another, meanwhile


def test_a_work_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotCreateError, match="--work-dir"), in_use(tmp_path / "file" / "work"):
        pass
