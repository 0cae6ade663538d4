"""Tables of the step ``cohort``: who is in, in which set, and how alike the classes are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bids_xai.tables.table import Table, column, more_columns


@dataclass(frozen=True, kw_only=True)
class ScanRow:
    """Whose scan a line is about."""

    participant_id: str = column("Participant")
    session_id: str | None = column("Session, n/a where the dataset has none")


@dataclass(frozen=True, kw_only=True)
class CohortScan(ScanRow):
    """A scan of the dataset, and whether it is used."""

    class_name: str | None = column("Value of the target column", name="class")
    included: bool = column("Whether the scan is used")
    reason: str | None = column("Why it is not used")
    map_file: Path | None = column("Input map, relative to the output folder", name="map")
    mask_file: Path | None = column("Brain mask on the same grid", name="mask")
    to_template: Path | None = column("Transform to the template")
    map_p05: float | None = column(
        "5th percentile of the map in the brain, in its units; n/a for scans that are not used",
        default=None,
    )
    map_median: float | None = column("Median of the map in the brain", default=None)
    map_p95: float | None = column("95th percentile of the map in the brain", default=None)
    participant: Mapping[str, str | None] = more_columns("", "From participants.tsv")


@dataclass(frozen=True, kw_only=True)
class SplitMember:
    """The set of a participant in a split."""

    participant_id: str = column("Participant; all scans of a participant are in one set")
    split: int = column("Number of the split, from 0")
    set_name: str = column("train, validation or test", name="set")


@dataclass(frozen=True, kw_only=True)
class Balance:
    """A covariate in both classes, before and after selection."""

    name: str = column("Covariate; for text, one row per value")
    mean_treated_before: float | None = column("Mean of the positive class, before matching")
    sd_treated_before: float | None = column(
        "Standard deviation of the positive class, before matching"
    )
    mean_control_before: float | None = column("Mean of the others, before matching")
    sd_control_before: float | None = column("Standard deviation of the others, before matching")
    smd_before: float | None = column(
        "Standardised mean difference before matching (0 is balanced)"
    )
    variance_ratio_before: float | None = column(
        "Variance of the positive class over that of the others, before matching"
    )
    mean_treated_after: float | None = column("Mean of the positive class, after matching")
    sd_treated_after: float | None = column(
        "Standard deviation of the positive class, after matching"
    )
    mean_control_after: float | None = column("Mean of the others, after matching")
    sd_control_after: float | None = column("Standard deviation of the others, after matching")
    smd_after: float | None = column(
        "Standardised mean difference after matching, in sds before matching"
    )
    variance_ratio_after: float | None = column(
        "Variance of the positive class over that of the others, after matching"
    )


COHORT = Table("cohort.tsv", CohortScan, "cohort")
SPLITS = Table("splits.tsv", SplitMember, "cohort")
BALANCE = Table("balance.tsv", Balance, "cohort")
