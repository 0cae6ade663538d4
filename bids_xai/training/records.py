"""What training reports: a line an epoch, in memory and in ``training.tsv``, and a result."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

LOG = "training.tsv"


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One line of ``training.tsv``; NaN (``n/a`` in the file) where a number is not defined.

    epoch : from 1
    lr : learning rate of this epoch
    train_loss, train_ce : objective and cross-entropy, mean over scans while training
    validation_loss, validation_ce, validation_balanced_accuracy : after the epoch
    inner_mask_share : mean over validation scans of sum(M * R), for every configuration
    relevance_sum : mean over validation scans of sum(R), 1 by construction
    seconds : duration of the epoch, validation included
    scans_per_second : training scans by the duration of the pass over them
    """

    epoch: int
    lr: float
    train_loss: float
    train_ce: float
    validation_loss: float
    validation_ce: float
    validation_balanced_accuracy: float
    inner_mask_share: float
    relevance_sum: float
    seconds: float
    scans_per_second: float


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
    """

    history: tuple[EpochRecord, ...]
    best_epoch: int
    best_validation_loss: float
    resumed_after: int
    stopped_early: bool
    constant: bool


def write_log(folder: Path, history: Sequence[EpochRecord]) -> None:
    """Replace ``training.tsv`` of ``folder`` at once."""
    text = io.StringIO()
    names = [field.name for field in fields(EpochRecord)]
    writer = csv.DictWriter(text, names, delimiter="\t", lineterminator="\n")
    writer.writeheader()
    for record in history:
        row = asdict(record)
        writer.writerow({k: "n/a" if math.isnan(v) else v for k, v in row.items()})
    temporary = folder / f".{LOG}.tmp"
    temporary.write_text(text.getvalue(), encoding="utf-8")
    os.replace(temporary, folder / LOG)
