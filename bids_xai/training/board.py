"""Training curves for TensorBoard, an optional package."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

from bids_xai.errors import UsageError
from bids_xai.tables.training import EpochRecord

FOLDER = "tensorboard"


class Board:
    """Writes the columns of ``training.tsv`` as scalars, a step an epoch."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def __call__(self, record: EpochRecord) -> None:
        """Write one epoch; what is not defined is left out."""
        for field in fields(record):
            value = getattr(record, field.name)
            if field.name != "epoch" and value is not None and math.isfinite(value):
                self._writer.add_scalar(field.name, float(value), record.epoch)
        self._writer.flush()


@contextmanager
def board(folder: Path) -> Iterator[Board]:
    """Open ``folder/tensorboard``; a run that goes on adds to what is there.

    Raises :class:`UsageError` where the package ``tensorboard`` is not installed.
    """
    try:
        writer = import_module("torch.utils.tensorboard").SummaryWriter(str(folder / FOLDER))
    except ImportError as error:
        raise UsageError(
            "--tensorboard needs the package tensorboard, which is not installed",
            fix="pip install 'bids_xai[tensorboard]', or omit the option: training.tsv "
            "has the same numbers",
        ) from error
    try:
        yield Board(writer)
    finally:
        writer.close()
