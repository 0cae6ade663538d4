"""Equal transforms are equal files, and ITK still reads them."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import ants
import numpy as np

from bids_xai.stages.transforms import without_times

AFFINE = (1.1, 0.1, 0.0, -0.1, 0.9, 0.0, 0.0, 0.05, 1.0, 3.0, -2.0, 5.0)


def composite(folder: Path) -> Path:
    """An affine followed by a deformation, as registration writes it."""
    rng = np.random.default_rng(0)
    image = ants.from_numpy(rng.random((12, 10, 8)).astype(np.float32), spacing=(2.0, 2.0, 3.0))
    affine = ants.create_ants_transform(
        transform_type="AffineTransform", dimension=3, parameters=AFFINE
    )
    field = ants.from_numpy(
        rng.normal(0, 1, (12, 10, 8, 3)).astype(np.float32),
        spacing=(2.0, 2.0, 3.0),
        has_components=True,
    )
    both = ants.compose_ants_transforms([ants.transform_from_displacement_field(field), affine])
    del image
    path = folder / "both.h5"
    ants.write_transform(both, str(path))
    return path


def test_the_time_of_making_does_not_show(tmp_path: Path) -> None:
    first = composite(tmp_path)
    kept = tmp_path / "kept.h5"
    shutil.copy(first, kept)
    time.sleep(1.1)  # HDF5 counts seconds
    second = composite(tmp_path)
    assert kept.read_bytes() != second.read_bytes()  # else there is nothing to do
    assert without_times(kept).read_bytes() == without_times(second).read_bytes()


def test_the_transform_stays_the_same(tmp_path: Path) -> None:
    path = composite(tmp_path)
    points = [(3.0, 4.0, 5.0), (11.0, 9.0, 12.0)]
    before = [ants.read_transform(str(path)).apply_to_point(point) for point in points]
    after = [ants.read_transform(str(without_times(path))).apply_to_point(p) for p in points]
    np.testing.assert_array_equal(after, before)
    assert np.abs(np.array(before) - points).max() > 1


def test_two_processes_may_rewrite_one_transform(tmp_path: Path) -> None:
    """What another is writing meanwhile stays its own."""
    path = composite(tmp_path)
    others = tmp_path / f".{path.name}.tmp"
    others.write_bytes(b"half a transform of another process")
    without_times(path)
    assert others.read_bytes() == b"half a transform of another process"
    assert sorted(tmp_path.iterdir()) == sorted([path, others])
