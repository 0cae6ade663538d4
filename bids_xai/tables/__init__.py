"""The tables that the app writes, each described once: columns, meaning, type, unit, step."""

from __future__ import annotations

TABLES: dict[str, tuple[str, ...]] = {
    "bids_xai.tables.participant": ("CLASS_PROBABILITIES",),
    "bids_xai.tables.cohort": ("COHORT", "SPLITS", "BALANCE"),
    "bids_xai.tables.training": ("TRAINING", "SEARCH"),
    "bids_xai.tables.predictions": (
        *("PREDICTIONS", "BASELINES", "PERFORMANCE", "PERFORMANCE_SUMMARY"),
        *("COMPARISONS", "ROC", "CALIBRATION", "CONFUSION"),
    ),
    "bids_xai.tables.atlas": (
        *("REGIONS_OF_SCAN", "REGIONS", "GAIN", "RANKINGS", "OVERLAP", "FINGERPRINTS"),
        *("TRAJECTORIES", "VOLUMES", "BIOLOGY"),
    ),
    "bids_xai.tables.trust": ("AOPC", "RANDOMIZATION", "LOCALIZATION", "CONSERVATION", "VERDICTS"),
    "bids_xai.tables.spray": (
        *("EIGENVALUES", "CLUSTERS", "EMBEDDING", "CONTINGENCY", "STABILITY", "CONFOUNDS"),
        *("CLUSTER_VERDICTS", "COVARIATES"),
    ),
}
"""Module → names of the :class:`~bids_xai.tables.table.Table` objects in it."""
