"""Where clusters differ, in words, and the spot outside the brain as a covariate."""

from __future__ import annotations

import numpy as np
import pytest
from spray_cases import AFFINE, SHAPE, ball

from bids_xai.bids.images import Volume
from bids_xai.core.spray.audit import SUSPECT
from bids_xai.group.spray.locations import (
    LEAST_SPOT,
    SPOT_MM,
    cluster_means,
    locations_in_words,
    spot_covariates,
)
from bids_xai.group.spray.stack import Stack
from bids_xai.settings import OutputSpace
from bids_xai.templates.grid import TemplateGrid
from bids_xai.templates.lookup import Atlas, Template

N = 20
LABELS = np.arange(N) % 2


def stack() -> Stack:
    """Maps with some relevance everywhere; those of cluster 1 have much at (10, 12, 10)."""
    maps = np.random.default_rng(0).random((N, *SHAPE)) * 0.01
    maps[LABELS == 1, 9:12, 11:14, 9:12] += 1
    inside = np.ones(SHAPE, bool)
    return Stack(maps.reshape(N, -1).astype(np.float32), SHAPE, AFFINE, inside, 1.0)


def test_means_of_clusters() -> None:
    maps = stack()
    means = cluster_means(maps, LABELS)
    for cluster in (0, 1):
        true = maps.maps[cluster == LABELS].mean(axis=0).reshape(SHAPE)
        np.testing.assert_allclose(means[cluster], true, rtol=1e-6)


def test_places_in_the_image_are_told_from_its_middle() -> None:
    maps = stack()
    brain = np.zeros(SHAPE)
    brain[10, 12, 10] = 0.25
    words = locations_in_words(maps, cluster_means(maps, LABELS), np.array([10, 10]), brain=brain)
    assert words[1] == (
        "Its heatmaps exceed those of the other clusters most 22 mm right, 28 mm front, 22 mm up "
        "from the middle of the image, inside the brain in 25 % of the scans."
    )


def test_places_in_the_template_have_coordinates_and_a_region() -> None:
    maps = stack()
    volume = Volume(ball().astype(np.float32), AFFINE)
    labels = np.zeros(SHAPE, np.int32)
    labels[10, 12, 10] = 7
    atlas = Atlas("drawn", Volume(labels, AFFINE), ((7, "corner"),))
    grid = TemplateGrid(OutputSpace("T", 2), Template("T", volume, volume), atlas)
    words = locations_in_words(maps, cluster_means(maps, LABELS), np.array([10, 10]), grid=grid)
    assert (
        words[1]
        == "Its heatmaps exceed those of the other clusters most at x 50, y 60, z 50 mm (corner)."
    )


def test_a_single_cluster_differs_from_nothing() -> None:
    maps = stack()
    assert locations_in_words(maps, cluster_means(maps, LABELS * 0), np.array([N])) == {}


def test_spots_are_shares_in_a_cube_outside_the_brain() -> None:
    maps = stack()
    people = [f"sub-{i}" for i in range(N)]
    brain = np.zeros(SHAPE)
    brain[:4] = 1
    spots = {spot.cluster: spot for spot in spot_covariates(maps, LABELS, people, brain)}
    spot = spots[1]
    assert (spot.kind, spot.is_share, spot.misplaced, spot.least) == (
        SUSPECT,
        True,
        True,
        LEAST_SPOT,
    )
    assert SPOT_MM == 25.0  # 5 voxels: the whole block of 3 lies in it
    values = spot.values.astype(np.float64)
    total = maps.maps.astype(np.float64).sum(axis=1)
    block = maps.maps.reshape(N, *SHAPE)[:, 9:12, 11:14, 9:12].reshape(N, -1).sum(axis=1)
    assert (values[LABELS == 1] >= (block / total)[LABELS == 1] * 0.999).all()
    assert values[LABELS == 1].min() > 10 * values[LABELS == 0].max()


def test_no_spot_where_the_brain_is_everywhere() -> None:
    people = [f"sub-{i}" for i in range(N)]
    assert spot_covariates(stack(), LABELS, people, np.ones(SHAPE)) == []


@pytest.mark.parametrize("share", [0.04, 0.06])
def test_where_the_brain_seldom_reaches_counts_as_outside(share: float) -> None:
    people = [f"sub-{i}" for i in range(N)]
    spots = spot_covariates(stack(), LABELS, people, np.full(SHAPE, share))
    assert bool(spots) == (share < 0.05)
