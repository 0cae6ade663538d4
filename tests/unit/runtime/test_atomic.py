"""Files that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from cards import model_card
from safetensors.numpy import load_file

from bids_xai.errors import CannotCreateError
from bids_xai.models import build
from bids_xai.models.card import WEIGHTS, save_model
from bids_xai.runtime.atomic import TEMPORARY, remove_abandoned, replacing
from bids_xai.stages.network_grid import STATISTICS, save_statistics
from bids_xai.training.checkpoint import CHECKPOINT, Checkpoint, save_checkpoint


def _checkpoint(folder: Path) -> Path:
    save_checkpoint(folder, Checkpoint({"now": {"w": torch.ones(3)}}, {"epoch": 1}))
    return folder / CHECKPOINT


def _model(folder: Path) -> Path:
    save_model(folder, build("graz", (16, 16, 16), 2, seed=0), model_card())
    return folder / WEIGHTS


def _statistics(folder: Path) -> Path:
    one = np.ones((2, 2, 2), np.float32)
    save_statistics(folder, (one, one))
    return folder / STATISTICS


WRITERS = {"checkpoint": _checkpoint, "model": _model, "statistics": _statistics}


def test_a_file_is_replaced_at_once_and_left_alone_by_an_error(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x"
    with replacing(path) as temporary:
        temporary.write_text("one")
        assert not path.exists()
    with pytest.raises(UnicodeEncodeError), replacing(path) as temporary:
        temporary.write_text("two \ud800", encoding="utf-8")
    with replacing(path):
        pass
    assert path.read_text() == "one"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", WRITERS)
def test_permissions_are_those_of_the_umask(name: str, tmp_path: Path) -> None:
    """A group that shares a study can read its models."""
    before = os.umask(0o027)
    try:
        file = WRITERS[name](tmp_path)
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_told_and_what_was_there_stays(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = WRITERS[name](tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def full(self: Path, content: bytes) -> int:
        with self.open("xb") as stream:
            stream.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CannotCreateError, match="No space left") as caught:
        WRITERS[name](tmp_path)
    assert str(file.parent) in str(caught.value.file)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with replacing(path) as one, replacing(path) as two:
        assert one != two
        one.write_text("one")
        two.write_text("two")
    assert path.read_text() == "one"
    file = _statistics(tmp_path)
    assert set(load_file(file)) == {"mean", "sd"}


def test_what_a_killed_process_was_writing_is_removed_and_nothing_else(tmp_path: Path) -> None:
    old, young, whole = (tmp_path / name for name in (f"{TEMPORARY}1", f"{TEMPORARY}2", "x"))
    for path in (old, young, whole):
        path.write_text("half")
        if path != young:
            os.utime(path, (1, 1))
    remove_abandoned([tmp_path, tmp_path / "none"])
    assert sorted(tmp_path.iterdir()) == [young, whole]
