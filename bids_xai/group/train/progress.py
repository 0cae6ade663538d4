"""How far the trainings are: all of them together, and the epochs of one."""

from __future__ import annotations

from dataclasses import dataclass

from bids_xai.group.context import LOG
from bids_xai.runtime.progress import Progress
from bids_xai.training.board import Board
from bids_xai.training.loop import EpochRecord


@dataclass
class EpochsOfTraining:
    """Says how far all trainings are, and how a single one goes; with ``-v`` at every epoch.

    share : what this training is of those that ``progress`` counts; less than 1 for a draw of
        several; curves : is given every epoch, too
    """

    title: str
    epochs: int
    share: float
    progress: Progress
    curves: Board | None
    begun: bool = False

    def __call__(self, record: EpochRecord) -> None:
        """Take in an epoch that is over."""
        if self.curves is not None:
            self.curves(record)
        share = self.share / self.epochs
        if not self.begun:  # those before are of an interrupted run
            self.begun = True
            self.progress.skip(share * (record.epoch - 1))
        inner = record.inner_mask_share
        inside = "" if inner is None else f", inside the mask {100 * inner:.0f} %"
        note = (
            f"{self.title}: epoch {record.epoch} of {self.epochs}, loss {record.train_loss:.3f}, "
            f"validation {record.validation_loss:.3f}{inside}"
        )
        LOG.debug("  %s", note)
        self.progress.step(share, note)
