"""What training reports: a line an epoch, in memory and in ``training.tsv``, and a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bids_xai.bids.files import write_text
from bids_xai.tables.training import TRAINING, EpochRecord

LOG = TRAINING.file


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """What came out; the model itself holds the weights of ``best_epoch`` (or of the last).

    history : one record an epoch, those before an interruption included
    best_epoch : from 1; best_validation_loss : its objective on the validation scans; 0 and NaN
        where no epoch was asked for
    resumed_after : epochs taken from a checkpoint, 0 for an uninterrupted run
    stopped_early : whether ``stop_patience`` ended the run before ``epochs``
    constant : a warning: the model gives all validation scans (two or more) the same
        probabilities to within 1e-6, it has learnt nothing
    parts : in how many a batch was taken at last, to save memory
    """

    history: tuple[EpochRecord, ...]
    best_epoch: int
    best_validation_loss: float
    resumed_after: int
    stopped_early: bool
    constant: bool
    parts: int = 1


def write_log(folder: Path, history: Sequence[EpochRecord]) -> None:
    """Replace ``training.tsv`` of ``folder`` at once."""
    write_text(folder / LOG, TRAINING.text(history))
