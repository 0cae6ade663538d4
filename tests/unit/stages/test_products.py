"""What the sidecars say about the voxels of a template."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.bids.images import Volume
from bids_xai.stages.products import resolution_text


@pytest.mark.parametrize(
    ("voxel_mm", "text"),
    [
        ((2, 2, 2), "2 mm isotropic"),
        ((0.8, 0.8, 0.8000001), "0.8 mm isotropic"),
        ((1, 1, 1.5), "1 × 1 × 1.5 mm"),
    ],
)
def test_the_resolution_is_that_of_the_affine(voxel_mm: tuple[float, ...], text: str) -> None:
    volume = Volume(np.zeros((2, 3, 4)), np.diag([*voxel_mm, 1.0]))
    assert resolution_text(volume) == text
