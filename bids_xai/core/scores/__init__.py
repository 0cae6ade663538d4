"""How good is a classifier: scores of one test set and of repetitions, ROC and calibration."""

from bids_xai.core.scores.classification import (
    MEASURES,
    MULTICLASS_MEASURES,
    ClassificationScores,
    MulticlassScores,
    classification_scores,
    multiclass_scores,
)
from bids_xai.core.scores.reliability import Calibration, calibration
from bids_xai.core.scores.roc import RocBand, fpr_grid, roc_band, roc_on_grid
from bids_xai.core.scores.summaries import Summary, summarise, summarise_values

__all__ = [
    "MEASURES",
    "MULTICLASS_MEASURES",
    "Calibration",
    "ClassificationScores",
    "MulticlassScores",
    "RocBand",
    "Summary",
    "calibration",
    "classification_scores",
    "fpr_grid",
    "multiclass_scores",
    "roc_band",
    "roc_on_grid",
    "summarise",
    "summarise_values",
]
