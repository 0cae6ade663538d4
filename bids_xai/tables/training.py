"""Tables of the trainings: a search over parameters."""

from __future__ import annotations

from dataclasses import dataclass

from bids_xai.tables.table import Table, column


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


SEARCH = Table("search.tsv", SearchDraw, "train")
