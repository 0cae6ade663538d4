"""What the step reads: heatmaps with their scans and spaces, and what results depend on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from spray_cases import N

from bids_xai.errors import BadDataError
from bids_xai.group.context import GroupContext
from bids_xai.group.spray import step
from bids_xai.tables.cohort import COHORT
from bids_xai.tables.predictions import PREDICTIONS


def test_every_heatmap_has_its_scan(study: GroupContext) -> None:
    inputs = step.read(study)
    (maps,) = inputs.configurations
    assert maps.configuration == "A"
    assert [row.scan for row in maps.predictions] == [scan.name for scan in maps.scans]
    assert len(inputs.scans) == N
    assert all(file.is_file() for file in maps.complete("T1w"))


def test_a_space_counts_where_all_heatmaps_are_in_it(study: GroupContext) -> None:
    (maps,) = step.read(study).configurations
    assert maps.spaces(("template", "T1w")) == ["T1w"]
    assert (maps.n_missing("template"), maps.complete("template")) == (N, [])
    warped = (*[Path("warped.nii.gz")] * (N - 1), None)
    partly = dataclasses.replace(maps, files={**maps.files, "template": warped})
    assert (partly.n_missing("template"), partly.complete("template")) == (1, [])
    whole = dataclasses.replace(maps, files={**maps.files, "template": (Path("w.nii.gz"),) * N})
    assert whole.spaces(("template", "T1w")) == ["T1w", "template"]
    assert whole.spaces(("template",)) == ["template"]


def test_scans_of_several_configurations_count_once(study: GroupContext) -> None:
    table = study.folder / "predictions.tsv"
    rows = PREDICTIONS.read(table)
    PREDICTIONS.write(table, [*rows, *(dataclasses.replace(r, configuration="B") for r in rows)])
    inputs = step.read(study)
    assert inputs.n_analyses == 2
    assert len(inputs.scans) == N


def test_results_depend_on_images_tables_and_sidecars(study: GroupContext) -> None:
    inputs = step.read(study)
    names = {file.name for file in inputs.files}
    assert {"predictions.tsv", "participants.tsv", "MEGRE.json", "sub-00_qc.tsv"} <= names
    assert {"sub-00_echo-1_MEGRE.json", "sub-00_desc-brain_mask.nii.gz"} <= names
    assert "sub-00_space-T1w_model-q_label-all_desc-lrp_relmap.nii.gz" in names
    options = inputs.plain_options
    changed = dataclasses.replace(inputs, seed=inputs.seed + 1).plain_options
    assert options != changed
    assert sorted(options) == ["seed", "spray", "target", "template"]


def test_other_methods_are_left_out_and_a_lost_scan_is_told(study: GroupContext) -> None:
    table = study.folder / "predictions.tsv"
    rows = PREDICTIONS.read(table)
    PREDICTIONS.write(table, [dataclasses.replace(rows[0], method="gradient"), *rows[1:]])
    (maps,) = step.read(study).configurations
    assert len(maps.predictions) == N - 1
    cohort = study.folder / "cohort.tsv"
    COHORT.write(cohort, COHORT.read(cohort)[:-1])
    with pytest.raises(BadDataError, match="sub-35 is no longer in the cohort"):
        step.read(study)
