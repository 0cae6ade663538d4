"""Figures of how a map lies on the T1w image, against slow versions on the whole grids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bids_xai.bids.images import Volume
from bids_xai.core.registration_quality import edge_alignment, normalised_mutual_information
from bids_xai.stages import ants_tools, maps, registration

SHAPE = (30, 34, 28)
VOXEL_MM = 2.0


@pytest.fixture(scope="module")
def ants() -> Any:
    return ants_tools.ants_module(0)


def volume(seed: int, origin_mm: tuple[float, ...], shape: tuple[int, ...] = SHAPE) -> Volume:
    affine = np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0])
    affine[:3, 3] = origin_mm
    data = np.random.default_rng(seed).random(shape).astype(np.float32) + 0.1
    return Volume(data, affine)


def brain_of(grid: Volume) -> np.ndarray:
    mask = np.zeros(grid.data.shape, bool)
    mask[9:20, 10:22, 8:19] = True
    mask[9, 10, 8:12] = False
    return mask


def moved(ants: Any, grid: Volume, native: Volume, file: Path) -> list[Path]:
    """A transform by the distance of the grids' centres."""
    return [registration.align_centres(ants, grid, native, file)]


def test_coverage_and_median_are_those_of_the_whole_grid(ants: Any, tmp_path: Path) -> None:
    """The map's field of view ends in the brain."""
    anatomy, native = volume(0, (0, 0, 0)), volume(1, (50, 9, 7), (8, 40, 40))
    native.data[4, 20, 20] = np.nan
    transforms = moved(ants, anatomy, native, tmp_path / "x.mat")
    inside = brain_of(anatomy)
    mapped = ants_tools.resample(ants, maps._finite(native), anatomy, transforms)
    found = maps._map_quality(ants, native, mapped, anatomy, inside, transforms, "Median")
    ones = Volume(np.ones(native.data.shape, np.float32), native.affine)
    seen = ants_tools.resample(ants, ones, anatomy, transforms) > 0.5
    share = (seen & inside).sum() / inside.sum()
    assert 0.5 < share < 0.95
    assert found == {
        "BrainCovered": round(float(share), 4),
        "UndefinedVoxels": 1,
        "Median": round(float(np.median(mapped[seen & inside])), 4),
    }


def test_the_match_is_that_of_the_whole_grid(ants: Any, tmp_path: Path) -> None:
    """Cut to 8 mm around the brain, nothing is lost: the Gaussians end before."""
    anatomy, native = volume(0, (0, 0, 0)), volume(2, (3, 5, -1))
    transform = moved(ants, anatomy, native, tmp_path / "x.mat")
    inside = brain_of(anatomy)
    found = maps._match_quality(ants, anatomy, native, inside, transform[0])
    whole = ants_tools.resample(ants, native, anatomy, transform)
    assert found["EdgeAlignment"] == pytest.approx(
        edge_alignment(anatomy.data, whole, inside, anatomy.voxel_mm), rel=1e-4
    )
    assert found["MutualInformation"] == pytest.approx(
        normalised_mutual_information(anatomy.data, whole, inside), rel=1e-4
    )
