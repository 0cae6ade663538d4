"""Curves for TensorBoard, with a stand-in for its writer and with the package where it is."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from bids_xai.errors import UsageError
from bids_xai.tables.training import EpochRecord
from bids_xai.training.board import board

RECORD = EpochRecord(
    epoch=3,
    lr=1e-3,
    train_loss=0.5,
    train_ce=0.6,
    validation_loss=0.7,
    validation_ce=0.8,
    validation_balanced_accuracy=None,
    inner_mask_share=0.9,
    relevance_sum=1.0,
    seconds=2.0,
    scans_per_second=5.0,
)


class Writer:
    """Remembers what it was told."""

    def __init__(self, folder: str) -> None:
        self.folder, self.scalars, self.closed = folder, [], False
        Writer.last = self

    last: Writer

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.append((name, value, step))

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def test_every_defined_column_is_a_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    with board(tmp_path) as curves:
        curves(RECORD)
    writer = Writer.last
    assert writer.folder == str(tmp_path / "tensorboard")
    assert writer.closed
    names = {name for name, _, _ in writer.scalars}
    assert names == {
        "lr",
        "train_loss",
        "train_ce",
        "validation_loss",
        "validation_ce",
        "inner_mask_share",
        "relevance_sum",
        "seconds",
        "scans_per_second",
    }
    assert ("train_ce", 0.6, 3) in writer.scalars


def test_a_missing_package_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match=r"bids_xai\[tensorboard\]"), board(tmp_path):
        pass
    assert not (tmp_path / "tensorboard").exists()


def test_the_real_package_reads_it_back(tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with board(tmp_path) as curves:
        curves(RECORD)
        curves(replace(RECORD, epoch=4, train_ce=0.4))
    events = reader.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, pytest.approx(e.value)) for e in events.Scalars("train_ce")] == [
        (3, 0.6),
        (4, 0.4),
    ]
