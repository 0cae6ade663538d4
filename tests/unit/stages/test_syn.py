"""The arguments of a symmetric registration follow from its recipe."""

from __future__ import annotations

import numpy as np
import pytest

from bids_xai.bids.images import Volume
from bids_xai.stages import ants_tools, syn


@pytest.mark.parametrize(
    ("voxel_mm", "shrink", "sigmas"),
    [(2.0, "8x4x2", "2x1x0.5vox"), (4.0, "4x2x1", "1x0.5x0.25vox")],
)
def test_levels_are_in_mm(voxel_mm: float, shrink: str, sigmas: str) -> None:
    ants = ants_tools.ants_module(0)
    volume = Volume(np.zeros((16, 18, 20), np.float32), np.diag([voxel_mm] * 3 + [1.0]))
    image = ants_tools.to_ants(ants, volume)
    arguments = syn._syn_arguments(image, image, volume, syn.ACCURATE)
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert options["--shrink-factors"] == shrink
    assert options["--smoothing-sigmas"] == sigmas
    assert options["--transform"] == "SyN[0.2,3.0,0.0]"
    assert options["--convergence"].startswith("[50x30x15,")
