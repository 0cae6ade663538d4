"""What header, sidecar and voxels say of a scan."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_xai.errors import BadDataError
from bids_xai.stages.scan_facts import facts_of, map_quantiles


def write(file: Path, data: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(data.astype(np.float32), np.diag([0.9, 1.0, 2.0, 1])), file)
    return file


@pytest.mark.parametrize(
    ("sidecar", "field", "times"),
    [
        ({"MagneticFieldStrength": 3, "EchoTime": [0.005, 0.01]}, 3.0, (0.005, 0.01)),
        ({"MagneticFieldStrength": "3", "EchoTime": [0.005, "x"]}, None, ()),
        ({"MagneticFieldStrength": True, "EchoTime": 0.005}, None, ()),
        (None, None, ()),
    ],
)
def test_facts_are_of_header_and_sidecar(
    tmp_path: Path, sidecar: dict[str, object] | None, field: float | None, times: tuple[float, ...]
) -> None:
    file = write(tmp_path / "sub-01_R2starmap.nii.gz", np.zeros((3, 3, 3)))
    if sidecar is not None:
        (tmp_path / "sub-01_R2starmap.json").write_text(json.dumps(sidecar))
    facts = facts_of(file, (1.0, 2.0, 3.0))
    assert (facts.field_strength_t, facts.echo_times_s) == (field, times)
    assert facts.voxel_mm == pytest.approx((0.9, 1.0, 2.0))
    assert facts.quantiles == (1.0, 2.0, 3.0)


def test_quantiles_are_of_the_finite_values_in_the_brain(tmp_path: Path) -> None:
    data = np.arange(1000.0).reshape(10, 10, 10)
    brain = (data >= 100) & (data <= 300)
    data[0, 0, 0] = 1e9
    inside = data[brain].copy()
    data[1, 0, 0] = np.nan  # 100
    files = write(tmp_path / "map.nii.gz", data), write(tmp_path / "mask.nii.gz", brain)
    expected = np.percentile(inside[1:], [5, 50, 95])
    assert map_quantiles(*files) == pytest.approx(tuple(expected))
    small = write(tmp_path / "small.nii.gz", np.ones((2, 2, 2)))
    with pytest.raises(BadDataError, match="different shapes"):
        map_quantiles(files[0], small)
    empty = write(tmp_path / "empty.nii.gz", 0 * brain)
    assert np.isnan(map_quantiles(files[0], empty)).all()
