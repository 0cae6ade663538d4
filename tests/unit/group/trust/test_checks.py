"""The units of the step trust: what makes a check be done again, and what does not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trust_cases import AFFINE, REQUESTS, SHAPE

from bids_xai.bids.files import write_nifti
from bids_xai.group.trust.checks import (
    NetworkCheck,
    curves_check,
    loader,
    localization_check,
    randomization_check,
    sums_check,
)
from bids_xai.group.trust.heatmaps import ExplainedSplit
from bids_xai.group.trust.inputs import CheckedNetwork, TrustInputs
from bids_xai.group.trust.network import ExplainedNetwork
from bids_xai.studies.tables import Attribution, Quality, Target

CHECKS: dict[str, Callable[[TrustInputs, CheckedNetwork], NetworkCheck[Any] | None]] = {
    "aopc": lambda inputs, checked: curves_check(inputs, checked, loader(inputs, checked)),
    "randomization": lambda inputs, checked: randomization_check(
        inputs, checked, loader(inputs, checked)
    ),
    "conservation": lambda inputs, checked: sums_check(inputs, checked, loader(inputs, checked)),
    "localization": localization_check,
}


@pytest.fixture
def checked(network: ExplainedNetwork, explained: ExplainedSplit) -> CheckedNetwork:
    folder = network.scans["sub-01"].map_file.parents[2]
    return CheckedNetwork(folder / "model", explained, explained, explained, network.scans, "")


@pytest.fixture
def inputs(checked: CheckedNetwork, explained: ExplainedSplit, tmp_path: Path) -> TrustInputs:
    region = np.zeros(SHAPE, np.uint8)
    region[5:9, 5:9, 5:9] = 1
    write_nifti(tmp_path / "sub-01" / "anat" / "sub-01_label-box_mask.nii.gz", region, AFFINE)
    return TrustInputs(
        study_folder=checked.model_folder.parent,
        predictions=tuple(explained.predictions),
        networks=(checked,),
        requests=REQUESTS,
        target=Target("diagnosis", "NC", "AD"),
        quality=Quality(cube_mm=16.0, steps=3, random_orders=2),
        attribution=Attribution(methods=tuple(REQUESTS)),
        seed=0,
        template="",
        truth=tmp_path,
        device="cpu",
    )


def check(name: str, inputs: TrustInputs, checked: CheckedNetwork) -> NetworkCheck[Any]:
    result = CHECKS[name](inputs, checked)
    assert result is not None
    return result


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_has_its_folder_and_lines_of_its_table(
    name: str, inputs: TrustInputs, checked: CheckedNetwork
) -> None:
    made = check(name, inputs, checked)
    folder = inputs.study_folder / "quality" / "configuration-A" / "split-0"
    assert made.unit.stamp == folder / f"{name}_stamp.json"
    assert made.unit.title == f"{name} of A, split 0"
    assert made.table.file == f"{name}.tsv"
    lines = list(made.compute())
    assert lines
    assert {type(line) for line in lines} == {made.table.row}


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"steps": 4}, {"aopc"}),
        ({"random_orders": 3}, {"aopc"}),
        ({"randomization_without": ("saliency",)}, {"randomization"}),
        ({"tolerance_mm": 2.0}, {"localization"}),
        ({"scans": 7}, set()),
    ],
)
def test_a_change_of_the_study_concerns_its_check_alone(
    change: dict[str, Any], again: set[str], inputs: TrustInputs, checked: CheckedNetwork
) -> None:
    changed = dataclasses.replace(inputs, quality=dataclasses.replace(inputs.quality, **change))
    digests = {name: check(name, inputs, checked).unit.digest for name in CHECKS}
    new = {name: check(name, changed, checked).unit.digest for name in CHECKS}
    assert {name for name in CHECKS if digests[name] != new[name]} == again


def test_every_check_depends_on_seed_and_heatmaps(
    inputs: TrustInputs, checked: CheckedNetwork
) -> None:
    other_seed = dataclasses.replace(inputs, seed=1)
    heatmap = inputs.study_folder / str(checked.split.predictions[0].heatmap)
    for name in CHECKS:
        unit = check(name, inputs, checked).unit
        assert unit.digest != check(name, other_seed, checked).unit.digest
        assert heatmap in unit.inputs
        weights = checked.model_folder / "model.safetensors"
        assert (weights in unit.inputs) == (name != "localization")


def test_nothing_to_do_is_no_check(
    inputs: TrustInputs, checked: CheckedNetwork, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    none = dataclasses.replace(
        checked, perturbed=checked.split.of(()), randomised=checked.split.of(())
    )
    assert CHECKS["aopc"](inputs, none) is None
    assert CHECKS["randomization"](inputs, none) is None
    assert {line.layer for line in check("conservation", inputs, none).compute()} == {"map"}
    assert CHECKS["localization"](dataclasses.replace(inputs, truth=None), checked) is None
    (tmp_path / "empty").mkdir()
    empty = dataclasses.replace(inputs, truth=tmp_path / "empty")
    assert CHECKS["localization"](empty, checked) is None
    assert "no true region of any scan of configuration A" in caplog.text


def test_a_network_is_loaded_once(inputs: TrustInputs, checked: CheckedNetwork) -> None:
    load = loader(inputs, checked)
    assert load() is load()
