"""Relevance lies where the voxels lie: a marker at a known coordinate, native and template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bids_xai.attribution import explain
from bids_xai.attribution.request import Request
from bids_xai.bids.images import Volume
from bids_xai.models import build
from bids_xai.models.card import ModelCard
from bids_xai.settings import EMBEDDED_TEMPLATE
from bids_xai.stages import ants_tools
from bids_xai.stages.explain import (
    Explanation,
    explain_scan,
    floor_share,
    open_scan,
    region_rows,
    warp_relevance,
)
from bids_xai.stages.network_grid import InputRule
from bids_xai.templates.grid import TemplateGrid, load_template_grid
from bids_xai.templates.lookup import Atlas

MARKER_MM = np.array([-31.0, 22.0, 17.0])  # RAS: left, in front, above
SHAPE = (40, 48, 40)
NETWORK_MM = 4.0
METHODS = ("lrp-zplus", "lrp-epsilon", "input-x-gradient", "integrated-gradients", "dtd")


def oblique() -> NDArray[np.float64]:
    """Voxels of 3 × 4 × 5 mm, stored left-posterior-superior in another order, tilted by 12°."""
    angle = np.deg2rad(12)
    tilt = np.eye(3)
    tilt[1:, 1:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    axes = np.array([[0, -3.0, 0], [0, 0, -4.0], [5.0, 0, 0]])
    affine = np.eye(4)
    affine[:3, :3] = tilt @ axes
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape()) - 1) / 2)
    return affine


def shape() -> tuple[int, int, int]:
    return 36, 56, 48  # (z, x, y) of the head


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A map that is zero but for a ball of 6 mm, and a mask: a ball of 70 mm."""
    folder = tmp_path_factory.mktemp("marker")
    affine = oblique()
    world = np.moveaxis(np.indices(shape()), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    ball = (((world - MARKER_MM) ** 2).sum(-1) < 6.0**2).astype(np.float32) * 40
    assert ball.any()
    map_file, mask_file = folder / "map.nii.gz", folder / "mask.nii.gz"
    nib.save(nib.Nifti1Image(ball, affine), map_file)
    brain = ((world**2).sum(-1) < 70.0**2).astype(np.uint8)
    nib.save(nib.Nifti1Image(brain, affine), mask_file)
    return map_file, mask_file


def explained(files: tuple[Path, Path], method: str) -> Explanation:
    card = ModelCard(
        architecture="graz",
        input_shape=SHAPE,
        voxel_mm=(NETWORK_MM,) * 3,
        suffix="R2starmap",
        space="T1w",
        scale=40.0,
        maximum=None,
        skull_strip=False,
        classes=("NC", "AD"),
        positive="AD",
        seed=0,
        study="s",
        configuration="A",
        split=0,
        split_hash="",
        training_participants=(),
        relevance_guided=False,
        metrics={},
        versions={},
    )
    model = build("graz", SHAPE, seed=1)
    rule = InputRule(SHAPE, NETWORK_MM, scale=40.0)
    scan = open_scan(model, card, rule, *files, "cpu")
    return explain_scan(model, card, scan, Request(method, method))


def centre_mm(data: NDArray[Any], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centre of the magnitudes, in world mm."""
    weight = np.abs(data) / np.abs(data).sum()
    voxel = (np.moveaxis(np.indices(data.shape), 0, -1) * weight[..., None]).sum((0, 1, 2))
    return np.asarray(affine[:3, :3] @ voxel + affine[:3, 3])


@pytest.fixture(scope="module")
def grid() -> TemplateGrid:
    return load_template_grid(EMBEDDED_TEMPLATE)


@pytest.fixture(scope="module")
def to_template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NDArray[np.float64]]:
    """A transform file, and where it takes the marker: 7 mm right, 5 back, 9 down, and turned."""
    ants = ants_tools.ants_module(0)
    angle = np.deg2rad(20)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    shift = np.array([7.0, -5.0, -9.0])
    moved = turn @ MARKER_MM + shift
    back, flip = turn.T, np.diag([-1.0, -1.0, 1.0])  # ITK: template point → scan, LPS
    matrix, offset = flip @ back @ flip, flip @ (-back @ shift)
    transform = ants.create_ants_transform(
        transform_type="AffineTransform", dimension=3, parameters=[*matrix.ravel(), *offset]
    )
    file = tmp_path_factory.mktemp("transform") / "to_template.mat"
    ants.write_transform(transform, str(file))
    return file, moved


@pytest.mark.parametrize("method", METHODS)
def test_relevance_of_a_marker_lies_at_its_world_coordinate(
    files: tuple[Path, Path], method: str
) -> None:
    relevance = explained(files, method).relevance
    np.testing.assert_allclose(centre_mm(relevance.data, relevance.affine), MARKER_MM, atol=1.5)


@pytest.mark.parametrize("method", METHODS[:2])
def test_and_where_the_transform_takes_it_in_the_template(
    files: tuple[Path, Path],
    method: str,
    grid: TemplateGrid,
    to_template: tuple[Path, NDArray[np.float64]],
) -> None:
    relevance = explained(files, method).relevance
    file, expected = to_template
    warped = warp_relevance(relevance, grid, file)
    np.testing.assert_array_equal(warped.affine, grid.template.brain.affine)
    np.testing.assert_allclose(centre_mm(warped.data, warped.affine), expected, atol=1.5)


def test_without_a_transform_the_coordinate_stays(
    files: tuple[Path, Path], grid: TemplateGrid
) -> None:
    warped = warp_relevance(explained(files, "lrp-zplus").relevance, grid, None)
    np.testing.assert_allclose(centre_mm(warped.data, warped.affine), MARKER_MM, atol=1.5)


def test_one_line_a_region_with_its_side() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 3, 300, 9], size=(4, 5, 6)).astype(np.int32)
    data = rng.normal(size=labels.shape).astype(np.float32)
    atlas = Atlas("X", Volume(labels, np.eye(4)), ((3, "Left A"), (300, "A_R"), (9, "Stem")))
    rows = region_rows(Volume(data, np.eye(4)), atlas, "saliency")
    assert [(r.index, r.name, r.hemisphere) for r in rows] == [
        (3, "Left A", "L"),
        (300, "A_R", "R"),
        (9, "Stem", None),
    ]
    for row in rows:
        inside = data[labels == row.index]
        assert row.n_voxels == inside.size
        assert row.sum == pytest.approx(inside.sum(), rel=1e-5)
        assert row.density == pytest.approx(inside.mean(), rel=1e-5)
        assert (row.atlas, row.method) == ("X", "saliency")


def test_a_region_that_is_not_on_the_grid_has_no_density() -> None:
    labels = np.ones((2, 2, 2), np.int32)
    atlas = Atlas("X", Volume(labels, np.eye(4)), ((1, "Stem"), (2, "Nowhere")))
    (stem, nowhere) = region_rows(Volume(labels.astype(np.float32), np.eye(4)), atlas, "saliency")
    assert (stem.density, stem.share) == (1.0, 1.0)
    assert (nowhere.n_voxels, nowhere.density) == (0, None)


def biased(bias: float) -> torch.nn.Module:
    """One convolution of positive weights and a sum: all can be counted by hand."""
    convolution = torch.nn.Conv3d(1, 1, 1)
    dense = torch.nn.Linear(8, 2)
    with torch.no_grad():
        convolution.weight.fill_(1.0)
        convolution.bias.fill_(bias)
        dense.weight.fill_(1.0)
        dense.bias.fill_(0.0)
    return torch.nn.Sequential(convolution, torch.nn.ReLU(), torch.nn.Flatten(), dense)


@pytest.mark.parametrize(("bias", "share"), [(1.0, 6 * 1 / (6 * 1 + 2 * 3)), (0.0, 0.0), (-1, 0.0)])
def test_the_share_of_units_that_biases_alone_feed(bias: float, share: float) -> None:
    """Two voxels of 2, six of 0. With bias 1 the units have 3 and 1: 6 of 12 come from nothing."""
    batch = torch.zeros(1, 1, 2, 2, 2)
    batch.view(-1)[:2] = 2.0
    model = biased(bias)
    relevances = explain("lrp-zplus", model, batch, target=1)
    found = floor_share(model, batch, "lrp-zplus", 1, {}, relevances)
    assert found == pytest.approx(share, abs=1e-5)
    assert float(relevances.sum()) == pytest.approx(1)


def test_methods_and_options_without_that_choice_have_no_share() -> None:
    batch, model = torch.ones(1, 1, 2, 2, 2), biased(1.0)
    relevances = torch.ones_like(batch)
    assert floor_share(model, batch, "lrp-epsilon", 1, {}, relevances) is None
    zero = {"zero_division": "zero"}
    assert floor_share(model, batch, "lrp-zplus", 1, zero, relevances) is None
