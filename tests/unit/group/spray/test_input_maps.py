"""Input maps of the control: as the network sees them, and in template space by their names."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from spray_cases import AFFINE, SHAPE

from bids_xai.bids.files import write_json, write_nifti
from bids_xai.bids.images import Volume
from bids_xai.errors import BadDataError
from bids_xai.group.context import GroupContext, Scan
from bids_xai.group.spray import step
from bids_xai.group.spray.input_maps import InputSource

TEMPLATE = Volume(np.ones(SHAPE, np.float32), AFFINE)


def scan(anat: Path, to_template: Path | None = Path("xfm.h5")) -> Scan:
    map_file = anat / "sub-1_run-2_space-T1w_R2starmap.nii.gz"
    return Scan("sub-1_run-2", "1", "", "AD", map_file, anat / "mask.nii.gz", to_template)


def draw(anat: Path, name: str, value: float) -> None:
    write_nifti(anat / f"{name}.nii.gz", np.full(SHAPE, value, np.float32), AFFINE)


@pytest.fixture
def source(tmp_path: Path) -> InputSource:
    return InputSource("A", tmp_path / "models", "R2starmap", "", "T")


def test_the_finest_map_of_the_scan_in_template_space(tmp_path: Path, source: InputSource) -> None:
    assert source.template_maps([scan(tmp_path)], TEMPLATE) is None
    draw(tmp_path, "sub-1_run-2_space-T_res-2_R2starmap", 2)
    draw(tmp_path, "sub-1_run-2_space-T_res-1_R2starmap", 1)
    draw(tmp_path, "sub-1_run-3_space-T_res-0_R2starmap", 3)  # another run
    draw(tmp_path, "sub-1_run-2_space-T_res-0_desc-lrp_R2starmap", 4)
    draw(tmp_path, "sub-1_run-2_space-T_res-0_label-lesion_R2starmap", 5)
    maps = source.template_maps([scan(tmp_path)], TEMPLATE)
    assert maps is not None
    (reader,) = maps.readers
    np.testing.assert_allclose(reader().data, 1)
    described = dataclasses.replace(source, desc="lrp").template_maps([scan(tmp_path)], TEMPLATE)
    assert described is not None
    assert described.rule != maps.rule
    np.testing.assert_allclose(described.readers[0]().data, 4)


def test_a_map_in_template_space_is_its_own_input(tmp_path: Path, source: InputSource) -> None:
    draw(tmp_path, "sub-1_run-2_space-T1w_R2starmap", 7)
    maps = source.template_maps([scan(tmp_path, None)], TEMPLATE)
    assert maps is not None
    np.testing.assert_allclose(maps.readers[0]().data, 7)


def test_no_network_no_rule_and_a_damaged_card_is_told(
    study: GroupContext, source: InputSource
) -> None:
    scans = step.read(study).scans
    assert source.network_maps(scans) is None
    write_json(source.models / "split-0" / "model.json", {"architecture": "graz"})
    with pytest.raises(BadDataError):
        source.network_maps(scans)
