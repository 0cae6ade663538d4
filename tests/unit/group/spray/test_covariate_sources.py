"""What tables, sidecars and quality figures say of scans."""

from __future__ import annotations

from bids_xai.core.spray.audit import PERSONAL, SUSPECT
from bids_xai.group.context import GroupContext
from bids_xai.group.spray import step


def test_columns_of_scans(study: GroupContext) -> None:
    found = {column.name: column for column in step.read(study).covariates.columns()}
    assert found["site"].kind == SUSPECT
    assert found["age"].kind == PERSONAL
    assert "diagnosis" not in found
    assert set(found["Manufacturer"].values.values()) == {"X", "Y"}  # not the inherited Z
    assert set(found["MagneticFieldStrength"].values.values()) == {"3"}
    assert set(found["voxel_mm"].values.values()) == {"5 × 5 × 5"}
    assert float(found["BrainVolumeMl_desc-brain_mask"].values["sub-00"]) > 1000
