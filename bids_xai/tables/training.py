"""Tables of the trainings: the epochs of one, and a search over parameters."""

from __future__ import annotations

from dataclasses import dataclass

from bids_xai.tables.table import Table, column


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One epoch of a training."""

    epoch: int = column("Number of the epoch, from 1")
    lr: float = column("Learning rate of the epoch")
    train_loss: float = column("Objective, mean over scans while training")
    train_ce: float = column("Cross-entropy, mean over scans while training")
    validation_loss: float = column("Objective on the validation scans after the epoch")
    validation_ce: float = column("Cross-entropy on the validation scans after the epoch")
    validation_balanced_accuracy: float | None = column(
        "Balanced accuracy on the validation scans, undefined where a class has none"
    )
    inner_mask_share: float | None = column(
        "Mean over validation scans of the relevance inside the mask, for every configuration "
        "to which z+ applies"
    )
    relevance_sum: float | None = column(
        "Mean over validation scans of the sum of relevance, 1 by construction"
    )
    seconds: float = column("Duration of the epoch, validation included", unit="s")
    scans_per_second: float = column(
        "Training scans by the duration of the pass over them", unit="1/s"
    )


@dataclass(frozen=True, kw_only=True)
class SearchDraw:
    """One draw of a random search, and how it did."""

    draw: int = column("Number of the draw, from 0")
    values: str = column("Values drawn")
    validation_loss: float | None = column("Lowest objective on the validation scans")
    validation_balanced_accuracy: float | None = column(
        "Balanced accuracy on the validation scans at the best epoch"
    )
    epochs: int = column("Epochs trained")
    seconds: float | None = column("Duration of the training", unit="s")
    is_best: bool = column("Whether this is the model that was kept", name="kept")


TRAINING = Table("training.tsv", EpochRecord, "train", exact=True)
SEARCH = Table("search.tsv", SearchDraw, "train")
