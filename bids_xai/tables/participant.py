"""Tables of the participant level."""

from __future__ import annotations

from dataclasses import dataclass

from bids_xai.tables.table import Table, column


@dataclass(frozen=True, kw_only=True)
class ClassProbability:
    """What a model says of a scan."""

    model: str = column("Label of the model")
    class_name: str = column("Class", name="class")
    probability: float | None = column(
        "Softmax output of the class; n/a where the scan is too unlike those of the training"
    )
    predicted: bool = column("Whether this is the class with the highest probability")


CLASS_PROBABILITIES = Table("_prediction.tsv", ClassProbability, "participant")
