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

    name: str = column("Covariate; of text one row a value")
    mean_treated_before: float | None = column("Mean of the positive class, everybody")
    sd_treated_before: float | None = column("Standard deviation of the positive class, everybody")
    mean_control_before: float | None = column("Mean of the others, everybody")
    sd_control_before: float | None = column("Standard deviation of the others, everybody")
    smd_before: float | None = column("Standardised mean difference, everybody (0 is balanced)")
    variance_ratio_before: float | None = column(
        "Variance of the positive class over that of the others, everybody"
    )
    mean_treated_after: float | None = column("Mean of the positive class, those kept")
    sd_treated_after: float | None = column("Standard deviation of the positive class, those kept")
    mean_control_after: float | None = column("Mean of the others, those kept")
    sd_control_after: float | None = column("Standard deviation of the others, those kept")
    smd_after: float | None = column(
        "Standardised mean difference, those kept, by the sds of everybody"
    )
    variance_ratio_after: float | None = column(
        "Variance of the positive class over that of the others, those kept"
    )


COHORT = Table("cohort.tsv", CohortScan, "cohort")
SPLITS = Table("splits.tsv", SplitMember, "cohort")
BALANCE = Table("balance.tsv", Balance, "cohort")
