"""Maps as rows of one array on disk: shapes, precision, a full disk."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from spray_cases import AFFINE, SHAPE

from bids_xai.errors import BadDataError, CannotCreateError
from bids_xai.group.spray import stack as spray_maps
from bids_xai.group.spray.stack import build_stack
from bids_xai.studies.tables import Spray


def test_a_full_disk_and_a_strange_map_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bids_xai.bids.images import Volume

    volumes = [Volume(np.ones(shape, np.float32), AFFINE) for shape in (SHAPE, (3, 3, 3))]
    with pytest.raises(BadDataError, match=r"shape \(3, 3, 3\)"):
        build_stack(tmp_path / "maps", [lambda v=v: v for v in volumes], Spray())

    summed = dataclasses.replace(Spray(), features="sum-normalised")
    signed = Volume(np.ones(SHAPE, np.float32), AFFINE)
    signed.data[::2] = -1
    with pytest.raises(BadDataError, match=r"cannot be divided by its sum.*"):
        build_stack(
            tmp_path / "maps", [lambda: signed], summed, files=[Path("sub-7_relmap.nii.gz")]
        )
    half = dataclasses.replace(Spray(), precision="float16")
    for second in (1e-11, 1e7):
        sizes = [0.0, 1e-2, second]
        maps = [Volume(np.full(SHAPE, size, np.float32), AFFINE) for size in sizes]
        with pytest.raises(BadDataError, match="float16 cannot hold this map") as caught:
            build_stack(
                tmp_path / "maps",
                [lambda v=v: v for v in maps],
                half,
                files=[Path(f"sub-{i}") for i in range(3)],
            )
        assert str(caught.value.file) == "sub-2"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spray_maps.os, "posix_fallocate", full)
    with pytest.raises(CannotCreateError, match="No space left"):
        build_stack(tmp_path / "maps", [lambda: volumes[0]], Spray())
