"""The tables of a study file: typed, frozen, with the defaults of Tinauer et al. 2025."""

from bids_xai.studies.tables.analysis import SPRAY_SPACES, Attribution, Quality, Spray
from bids_xai.studies.tables.cohort import Cohort, Input, Splits, Target, Undersampling
from bids_xai.studies.tables.plain import Plain, nested
from bids_xai.studies.tables.study import Study, merged
from bids_xai.studies.tables.training import (
    Augmentation,
    Baseline,
    Configuration,
    EarlyStopping,
    Model,
    Plateau,
    Search,
    Training,
    Transfer,
)

__all__ = [
    "SPRAY_SPACES",
    "Attribution",
    "Augmentation",
    "Baseline",
    "Cohort",
    "Configuration",
    "EarlyStopping",
    "Input",
    "Model",
    "Plain",
    "Plateau",
    "Quality",
    "Search",
    "Splits",
    "Spray",
    "Study",
    "Target",
    "Training",
    "Transfer",
    "Undersampling",
    "merged",
    "nested",
]
