"""Tables of the participant level."""

from __future__ import annotations

from dataclasses import dataclass

from bids_xai.tables.table import Table, column


@dataclass(frozen=True, kw_only=True)
class ClassProbability:
    """What a model says of a scan."""

    model: str = column("Label of the model")
    class_name: str = column("Class", name="class")
    probability: float = column("Softmax output of the class")
    predicted: bool = column("Whether this is the class with the highest probability")


CLASS_PROBABILITIES = Table("_prediction.tsv", ClassProbability, "participant")
